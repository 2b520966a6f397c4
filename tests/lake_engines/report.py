"""What the readers found, as it comes and as a table at the end."""

# Differences that are printed, of one read and of one reader; all are counted.
SHOWN_OF_READ, SHOWN = 2, 200


class Reader:
    """Counts of one reader."""

    def __init__(self, name, version):
        self.name, self.version = name, version
        self.reads = self.compared = self.failed = 0


class Report:
    def __init__(self):
        self.readers, self.skipped = {}, []

    def reader(self, name, version=""):
        return self.readers.setdefault(name, Reader(name, version))

    def skip(self, line):
        self.skipped.append(line)
        print(f"########## {line} ##########", flush=True)

    def read(self, reader, compared, found):
        """Counts a read: how many hours were compared, and a line for each difference."""
        reader.reads += 1
        reader.compared += compared
        self.fail(reader, found)

    def fail(self, reader, found):
        shown = found[:SHOWN_OF_READ] if reader.failed < SHOWN else []
        for line in shown:
            print(f"DIFFERENCE {reader.name}: {line}", flush=True)
        if shown and found[SHOWN_OF_READ:]:
            print(f"DIFFERENCE {reader.name}: and {len(found) - SHOWN_OF_READ} more of these", flush=True)
        reader.failed += len(found)

    def failed(self):
        return sum(reader.failed for reader in self.readers.values())

    def print(self):
        heads = ("reader", "version", "reads", "hours compared", "differences")
        rows = [(r.name, r.version, f"{r.reads:,}", f"{r.compared:,}", f"{r.failed:,}") for r in self.readers.values()]
        widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
        for row in [heads, *rows]:
            cells = [cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
            print("  ".join(cells).rstrip())


def first_line(error):
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]
