"""Members of tar archives: what is found quickly is what tarfile finds."""

import io
import tarfile

from lnet.runtime.data.tar_members import scan


def test_what_lies_in_a_tar_archive_is_what_tarfile_finds(tmp_path):
    """Names of all lengths in all formats, links, folders, pax records, a member over many blocks, damage in between."""
    names = ["a.png", "./b/c.png", "n" * 99, "n" * 100, "d/" * 60 + "e.png", "ä" * 70, "f" * 300, "g g.png"]
    for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=format) as archive:
            for number, name in enumerate(names):
                info = tarfile.TarInfo(name)
                info.size = (0, 1, 512, 513, 40_000)[number % 5]
                info.mtime = 1.5 if number % 2 else 7
                if format == tarfile.PAX_FORMAT and number == 3:
                    info.pax_headers = {"comment": "x = y\n", "SCHILY.xattr.user.a": "b"}
                if format == tarfile.USTAR_FORMAT and len(name.encode()) > 100:
                    continue
                archive.addfile(info, io.BytesIO(bytes(info.size)))
                for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
                    other = tarfile.TarInfo(f"{number}")
                    other.type, other.linkname = kind, "a.png"
                    archive.addfile(other)
        with tarfile.open(tmp_path / "a.tar") as archive:
            infos = list(archive)
            end = archive.offset
        found = scan(tmp_path / "a.tar")
        files = found.files
        assert list(zip(files.names, files.sizes, files.offsets, strict=True)) == [
            (info.name, info.size, info.offset_data) for info in infos if info.isfile()
        ]
        assert [(link.name, link.target, link.hard) for link in found.links] == [
            (i.name, i.linkname, i.islnk()) for i in infos if i.islnk() or i.issym()
        ]
        assert [link.after for link in found.links] == [1 + number // 2 for number in range(len(found.links))]
        assert found.end == end


def test_a_tar_archive_with_records_for_all_that_follows(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", pax_headers={"comment": "x"}) as archive:
        for name in ("a.png", "b.png"):
            archive.addfile(tarfile.TarInfo(name))
    assert scan(tmp_path / "a.tar").files.names == ["a.png", "b.png"]
