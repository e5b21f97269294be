"""Commands on runs on the Hugging Face hub: push, pull."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from .options import Existing
from .program import main


@main.command()
@click.argument("directory", metavar="RUN", type=Existing)
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--revision", metavar="BRANCH", help="Branch to publish on; created if there is none.")
@click.option(
    "--dry-run", is_flag=True, help="List what would be published and print the card; send nothing."
)
def push(directory: Path, repository: str, private: bool, revision: str | None, dry_run: bool) -> None:
    """Publish a run on the Hugging Face hub.

    Publishes the plan with its program, the log, the newest checkpoint, the best parameters, results of probes, plug-ins and
    a card. Images, their folders and the names of machines stay here; the program is published as it is written. A second
    call replaces what the first one published. Others fetch the run with lnetc pull. It needs: pip install 'lnetc[hub]',
    and hf auth login.
    """
    from lnet.runtime.hub.push import publication, publish

    found = publication(directory, repository)
    if found.paths:
        click.echo(
            f"warning: the program is published as it is written, with {', '.join(found.paths)}", err=True
        )
    if dry_run:
        for name, size in found.sizes.items():
            click.echo(f"{size:>14,}  {name}")
        content = found.files["README.md"]
        assert isinstance(content, bytes)
        click.echo(f"\n{content.decode()}", nl=False)
        return
    click.echo(f"published: {publish(found, private, revision)}")


@main.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("-d", "--directory", type=Existing, help="Directory of the run (default: runs/NAME).")
@click.option("--revision", metavar="REVISION", help="Branch, tag or commit to fetch.")
def pull(repository: str, directory: Path | None, revision: str | None) -> None:
    """Fetch a run from the Hugging Face hub.

    It can be probed, drawn, reported and exported, and resumed with its images (--data). All of it is checked, but
    for a plan that needs plug-ins: these are fetched and not executed. It needs: pip install 'lnetc[hub]'.
    """
    from lnet.runtime.hub.pull import pull as fetched

    run = fetched(repository, directory, revision)
    click.echo(f"fetched: {run}")
    plugins = [f"--plugin {shlex.quote(str(path))}" for path in sorted((run / "plugins").glob("*.py"))]
    if plugins:
        names = " ".join(plugins)
        click.echo(
            f"it needs plug-ins, which came with it; read them, then load them: lnetc {names} ...", err=True
        )
