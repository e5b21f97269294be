"""The log of a run: what becomes of events when the disk has no room."""

from lnet.runtime.store.events import EventLog, read_events


def test_events_that_the_disk_has_no_room_for_are_kept_until_it_has(tmp_path):
    class Disk:
        room = 10**6

        def __init__(self, file):
            self.file = file

        def write(self, data):
            if not self.room:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[: self.room])
            self.room -= written
            return written

        def close(self):
            self.file.close()

    said = []
    log = EventLog(tmp_path / "events.jsonl", said.append)
    log._file = disk = Disk(log._file)
    log.add("step", step=1)
    disk.room = 10
    log.add("step", step=2)
    log.add("step", step=3)
    assert said == [
        "'events.jsonl' cannot be written now, so events are kept: [Errno 28] No space left on device"
    ]
    disk.room = 10**6
    log.add("step", step=4)
    assert [event["step"] for event in read_events(tmp_path / "events.jsonl")] == [1, 2, 3, 4]
    disk.room = 0
    log.add("step", step=5)
    log.close()
    assert said[-1] == "'events.jsonl' could not be written: its last 1 events are lost"
