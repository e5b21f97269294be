"""The site: its pages and links, and the playground in a browser, which answers as the command line does."""

import json
import re
import subprocess
import sys
import zipfile
from html import unescape
from pathlib import Path

import pytest
from chromium import needs_browser
from commands import lnetc
from site_in_browser import opened

import lnet
from docs import links, pages, site
from docs.playground import answers, pack

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "tests" / "diagnostics"
PROGRAMS = sorted(
    path for path in PINNED.glob("*.lnet") if path.stem[:4] != "E003" and "include" not in path.read_text()
)[::4]
"""Every fourth of the wrong programs that are text and in one file: a browser ignores addresses that change too often."""
ASK = r"""
  const page = frame.contentDocument, area = page.getElementById("text")
  const shown = id => page.getElementById(id).textContent
  const marked = () => [...page.querySelectorAll("mark")].map(each => each.textContent)
  const diagnostics = () => [...page.querySelectorAll("#diagnostics > *")].map(each => each.innerText).join("\n\n")
  const answered = () => until(() => page.getElementById("diagnostics").ariaBusy === "false")
  const { packed, unpacked } = await import("/playground/link.js")
  // Open a text by its link, or an example, and wait for what the compiler says.
  const ask = async (file, text) => {
    const link = text === undefined ? `file=${file}` : await packed(file, text)
    const arrived = new Promise(resolve => frame.contentWindow.addEventListener("hashchange", resolve, { once: true }))
    frame.contentWindow.location.hash = link
    await arrived
    await until(() => text === undefined || area.value === text)
    await answered()
  }
"""
WRONG = "network n {\n    image: input(8x8x1)\n    f: local(3, maps = 4)\n    g: loco(3)\n    q: l1()\n}\n"


def scopes(html):
    """The class of each character of a line in colours."""
    parts = re.findall(r'<span class="([^"]+)">([^<]*)</span>|([^<]+)', html)
    return [scope for scope, inside, between in parts for _ in unescape(inside or between)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    work = tmp_path_factory.mktemp("site")
    try:
        return site.build(work)
    except pack.CannotFetch as offline:
        pytest.skip(str(offline))


@pytest.fixture(scope="module")
def browser(built):
    with opened(built) as run:
        yield run


@pytest.fixture(scope="module")
def playground(browser):
    """Run a script that asks the page, once the compiler has answered its first question."""
    browser("const page = await open('/playground.html')\nawait until(() => page.querySelector('#table td'))")
    return lambda script: browser(f"{ASK}\n{script}")


# --- pages -----------------------------------------------------------------------------------------------


def test_every_document_is_in_the_contents(built):
    shown = {target.removeprefix("./") for target, _ in links.page(built / "index.html").links}
    for path in pages.documents():
        page = pages.page_of(path).replace(".md", ".html")
        assert page in shown, path


def test_code_has_colours(built):
    assert '<span class="nb">local</span>' in (built / "index.html").read_text()


def test_the_licences_of_all_that_the_playground_contains_go_with_it(built):
    own, lark, rich, python = (built / "playground/licences.txt").read_text().split("-" * 80)
    assert "Apache License" in own
    assert "Copyright" in lark
    assert "Copyright" in rich
    assert "Pyodide" in python


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("other.html", "links to other.html, which does not exist"),
        ("index.html#there", "links to index.html#there, which does not exist"),
        ("index.html#here", None),
        ("https://example.org", None),
    ],
)
def test_links_that_lead_nowhere_are_found(link, fault, tmp_path):
    (tmp_path / "index.html").write_text(f'<p id="here"><a href="{link}">x</a></p>')
    assert list(links.faults(tmp_path)) == ([f"index.html {fault}"] if fault else [])


def test_what_a_page_fetches_from_elsewhere_is_found(tmp_path):
    (tmp_path / "index.html").write_text('<script src="https://example.org/x.js"></script>')
    assert list(links.faults(tmp_path)) == ["index.html fetches https://example.org/x.js"]


def test_a_document_with_a_broken_link_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("# Title\n\n`[no](link)`\n")
    (tmp_path / "README.md").write_text("[file](docs/missing.py)")
    with pytest.raises(
        pages.BrokenLink, match=r"'README.md' links to 'docs/missing.py', which does not exist"
    ):
        pages.pages(tmp_path)


@needs_browser
def test_pages_fit_a_phone_and_a_desk_and_fetch_nothing_from_elsewhere(browser):
    paths = ["/index.html", "/docs/language.html", "/docs/performance.html"]
    seen = browser(f"""
        const seen = []
        for (const path of {paths}) {{
          await open(path)
          const fetched = frame.contentWindow.performance.getEntriesByType("resource").map(each => new URL(each.name))
          const elsewhere = fetched.filter(url => url.origin !== location.origin).map(url => url.href)
          seen.push([needed(360), needed(1200), fetched.length, elsewhere])
        }}
        return seen""")
    for path, (phone, desk, fetched, elsewhere) in zip(paths, seen, strict=True):
        assert phone <= 360, path
        assert desk <= 1200, path
        assert fetched > 2, path
        assert elsewhere == [], path


# --- the playground --------------------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("file", ["lnet.zip", "pyodide/pyodide.asm.wasm", "pyodide/pyodide.mjs", "editor.js"])
def test_a_file_that_cannot_be_loaded_is_told(browser, file):
    browser.missing.add(f"/playground/{file}")
    try:
        said = browser("""
            const page = await open("/playground.html")
            return await until(() => page.getElementById("alarm").textContent)""")
    finally:
        browser.missing.clear()
    assert "cannot be loaded" in said


@needs_browser
def test_the_playground_fits_a_phone_and_a_desk(playground):
    phone, desk = playground("return [needed(360), needed(1200)]")
    assert phone <= 360
    assert desk <= 1200


@needs_browser
def test_the_playground_says_of_wrong_programs_what_check_says(playground):
    programs = [(path.name, path.read_text()) for path in PROGRAMS]
    seen = playground(f"""
        const said = []
        for (const [file, text] of {json.dumps(programs)}) {{
          await ask(file, text)
          said.push(diagnostics())
        }}
        return said""")
    for path, said in zip(PROGRAMS, seen, strict=True):
        assert said == path.with_suffix(".txt").read_text().rstrip("\n"), path.name


@needs_browser
def test_the_playground_shows_of_an_example_what_explain_shows(playground):
    example = "examples/all_tnn/model.lnet"  # which includes another
    rows, lines, drawn, marks = playground(f"""
        await ask("{example}")
        const texts = what => [...page.querySelectorAll(what)].map(each => each.textContent)
        const rows = [...page.querySelectorAll("#table tr")].map(row => row.innerText)
        return [rows, texts("#table p"), texts("#diagram .name"), marked()]""")
    explained = [" ".join(line.split()) for line in lnetc("explain", ROOT / example).output.splitlines()]
    for row in [*rows, *lines]:
        assert " ".join(row.split()) in explained
    assert len(rows) == 1 + len(drawn) == 1 + len(lnet.compile(ROOT / example).graph.layers)
    assert marks == []


@needs_browser
def test_an_edit_moves_marks_and_changes_the_network_and_the_link(playground):
    first, moved, whole, gone, summary, last, linked = playground(f"""
        await ask("n.lnet", {json.dumps(WRONG)})
        const type = async (start, end, text) => {{
          area.focus()
          area.setSelectionRange(start, end)
          page.execCommand("insertText", false, text)
          const now = marked()
          await answered()
          return now
        }}
        const first = marked(), moved = await type(0, 0, "# a comment\\n"), whole = diagnostics()
        const wrong = area.value.indexOf("loco")
        const gone = await type(wrong, wrong + 4, "lcn")
        const link = await unpacked(page.location.hash.slice(1), 1e6)
        return [first, moved, whole, gone, shown("summary"), diagnostics(), link.text === area.value]""")
    assert (first, moved, gone) == (["loco"], ["loco"], [])
    assert whole.startswith("n.lnet:5:8: error E202: ")
    assert summary.startswith("network n: 3 layers, ")
    assert last == "n.lnet: fine"
    assert linked


@needs_browser
def test_colours_are_those_of_the_grammar(playground):
    """The lines of the extension's own test, in which each line of code has lines below that say what is where."""
    lines = (ROOT / "editors/vscode/tests/colours.lnet").read_text().splitlines()[1:]
    code = ""
    coloured = playground(f"""
        const {{ Colours }} = await import("/playground/grammar.js")
        const colours = new Colours(await (await fetch("/playground/grammar.json")).json())
        return {json.dumps(lines)}.map(line => colours.line(line))""")
    for line, html in zip(lines, coloured, strict=True):
        said = re.match(r"#( *)(<?)(-+|\^+) (\w+)\.(\w+)", line)
        if said is None:
            code, classes = line, scopes(html)
        elif said[5] != "character":  # the escapes in a string are not coloured apart
            start = 0 if said[2] else said.end(1)
            assert {*classes[start : start + len(said[3])]} == {f"{said[4]}-{said[5]}"}, (code, line)


@needs_browser
def test_networks_in_documents_open_in_the_playground(built, playground):
    shown = re.findall(
        r"^```lnet\n(.*?)^```$", (ROOT / "docs/guide.md").read_text(), re.MULTILINE | re.DOTALL
    )
    hashes = [
        target.partition("#")[2]
        for target, _ in links.page(built / "docs/guide.html").links
        if "&text=" in target
    ]
    opened = playground(f"""
        const found = await Promise.all({json.dumps(hashes)}.map(hash => unpacked(hash, 1e5)))
        return found.map(each => each.text)""")
    assert opened == shown
    assert shown


@needs_browser
def test_links_hold_any_text_and_no_more_than_is_allowed(playground):
    text = "let a = 1 # \N{BRAIN} \u00fc + / =\n" * 100
    same, refused = playground(f"""
        const text = {json.dumps(text)}, link = await packed("a b.lnet", text)
        const found = await unpacked(link, 10_000)
        const refused = await unpacked(await packed("a.lnet", "#".repeat(10_001)), 10_000).catch(error => error.message)
        return [found.file === "a b.lnet" && found.text === text, refused]""")
    assert same
    assert refused == "its text is damaged or too long"


@needs_browser
def test_back_brings_back_a_text_that_an_example_replaced(playground):
    assert playground(f"""
        const text = {json.dumps(WRONG)}, example = page.getElementById("example")
        await ask("n.lnet", text)
        example.value = "{pack.FIRST}"
        example.dispatchEvent(new Event("change"))
        await until(() => diagnostics() === "{pack.FIRST}: fine")
        await answered()
        page.defaultView.history.back()
        await until(() => area.value === text)
        await answered()
        return diagnostics()""").startswith("n.lnet:4:8: error E202: ")


@needs_browser
def test_completions_are_taken_by_a_key(playground):
    said, text = playground(f"""
        await ask("n.lnet", {json.dumps(WRONG.replace("loco(3)", "loc"))})
        const end = area.value.indexOf("loc\\n") + 3
        const press = (key, more) => area.dispatchEvent(new KeyboardEvent("keydown", {{ key, ...more }}))
        area.focus()
        area.setSelectionRange(end, end)
        press(" ", {{ ctrlKey: true }})
        const chosen = await until(() => page.querySelector(".list [aria-selected=true]"))
        const said = chosen.innerText
        press("Enter")
        return [said, area.value]""")
    assert said == "local kind"
    assert text == WRONG.replace("loco(3)", "local")


@needs_browser
def test_a_pointer_that_rests_on_a_name_shows_what_is_known_of_it(playground):
    said = playground(f"""
        await ask("n.lnet", {json.dumps(WRONG.replace("loco", "lcn"))})
        const letter = page.querySelector(".coloured span").getBoundingClientRect() // `network`
        const at = {{ clientX: letter.left + letter.width / 7 * 4.5, clientY: letter.top + 2.5 * letter.height }}
        area.dispatchEvent(new MouseEvent("mousemove", at)) // the `f` of the third line
        return await until(() => page.querySelector(".tip:not([hidden])")?.textContent)""")
    assert said.startswith("- f: 6x6x4, field 3x3, ")


@needs_browser
def test_tabs_and_wide_letters_are_as_wide_for_the_pointer_as_they_are_drawn(playground):
    text = "network n {\n\timage: input(8x8x1)\n\t# 图图 x\n\tf: local(3, 4)\n}\n"
    said, left, drawn = playground(f"""
        await ask("n.lnet", {json.dumps(text)})
        const name = [...page.querySelectorAll(".coloured span")].find(each => each.textContent === "f")
        const box = name.getBoundingClientRect()
        const at = {{ clientX: (box.left + box.right) / 2, clientY: (box.top + box.bottom) / 2 }}
        area.dispatchEvent(new MouseEvent("mousemove", at))
        const tip = await until(() => page.querySelector(".tip:not([hidden])"))
        return [tip.textContent, tip.getBoundingClientRect().left, box.left]""")
    assert said.startswith("- f: 6x6x4, field 3x3, ")
    assert abs(left - drawn) < 1


@needs_browser
def test_what_goes_wrong_in_the_page_is_shown(playground):
    late, after, damaged, long, broken = playground("""
        const { Compiler } = await import("/playground/compiler.js")
        const compiler = new Compiler(() => {})
        compiler.limit = 0
        const late = await compiler.ask("layout", "n.lnet", "let a=1").catch(error => error.message)
        compiler.limit = 60_000
        const after = await compiler.ask("layout", "n.lnet", "let a=1")
        frame.contentWindow.location.hash = "file=n.lnet&text=%%%"
        const damaged = await until(() => shown("note"))
        await answered()
        area.value = "#".repeat(100_001)
        area.dispatchEvent(new InputEvent("input"))
        await answered()
        const long = shown("alarm")
        const error = new ErrorEvent("error", { message: "broken" })
        frame.contentWindow.dispatchEvent(error)
        return [late, after, damaged, long, shown("alarm")]""")
    assert late == "stopped after 0 s: this text takes too long in a browser; use 'lnetc check'"
    assert after == "let a = 1\n"
    assert damaged == "the link cannot be read: its text is damaged or too long; this is an example"
    assert long == "a text of 100,001 characters is too long for a browser: use 'lnetc check'"
    assert broken == "broken"


def test_the_archive_needs_no_other_packages(tmp_path):
    """What the worker imports, in a Python that has nothing else."""
    pack.pack(tmp_path / "lnet.zip")
    zipfile.ZipFile(tmp_path / "lnet.zip").extractall(tmp_path)
    text = (ROOT / pack.FIRST).read_text()
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import answers, json; \n"
        f"for question in (answers.check, answers.layout): question('a.lnet', {text!r})\n"
        f"answers.hover('a.lnet', {text!r}, 20); answers.complete('a.lnet', {text!r}, 20)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - {*sys.stdlib_module_names}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["__main__", "answers", "lark", "lnet", "rich"]


def test_positions_are_those_of_javascript():
    text = "# \N{BRAIN}\nnetwork n { image: input(8x8x1); f: lcol(3) }\n"
    found = json.loads(answers.check("n.lnet", text))["diagnostics"][0]
    name = len(text[: text.index("lcol")].encode("utf-16-le")) // 2
    assert (found["start"], found["end"]) == (name, name + 4)
    hovered = json.loads(answers.hover("n.lnet", text, text.index("image") + 1))
    assert hovered["text"].startswith("- `image`: 8x8x1")
    assert json.loads(answers.hover("n.lnet", text, 0)) is None
    assert json.loads(answers.complete("n.lnet", text, name + 2))["start"] == name
