"""What the clients said, as it comes and as a table at the end."""


class Client:
    """Counts of one client, over all ways to log in."""

    def __init__(self, name, what):
        self.name, self.what, self.version = name, what, ""
        self.logins, self.passed, self.skipped, self.failed = [], 0, 0, []


class Report:
    def __init__(self):
        self.clients, self.skipped, self.faults = {}, [], []

    def client(self, name, what):
        return self.clients.setdefault(name, Client(name, what))

    def skip(self, line):
        """Says loudly that something was left out."""
        self.skipped.append(line)
        print(f"########## {line} ##########", flush=True)

    def fault(self, line):
        """Notes what is wrong with the server itself."""
        self.faults.append(line)
        print(f"FAILED {line}", flush=True)

    def line(self, client, login, line):
        """Takes a line of a client's output, as check.py describes it."""
        verdict, _, rest = line.strip().partition(" ")
        if line.startswith("version "):
            client.version = rest
        elif line.startswith("ok "):
            client.passed += 1
        elif line.startswith("skip "):
            client.skipped += 1
            print(f"{client.name}, {login}: {line.strip()}", flush=True)
        elif line.startswith("not ok "):
            self.failure(client, login, rest.removeprefix("ok "))
        elif line.strip():
            print(f"{client.name}, {login}> {line.rstrip()}"[:1000], flush=True)

    def failure(self, client, login, what):
        client.failed.append(f"{login}: {what}")
        print(f"FAILED {client.name}, {login}: {what}", flush=True)

    def failed(self):
        return len(self.faults) + sum(len(client.failed) for client in self.clients.values())

    def print(self):
        heads = ("client", "version", "exercised", "logins", "ok", "skipped", "failed")
        rows = [
            (c.name, c.version, c.what, " ".join(c.logins), str(c.passed), str(c.skipped), str(len(c.failed))) for c in self.clients.values()
        ]
        widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
        for row in [heads, *rows]:
            cells = [cell.ljust(width) if i < 4 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
            print("  ".join(cells).rstrip())
