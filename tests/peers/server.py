"""A server of hourglass over a store, for scripts that ask it beside engines inside their own process."""

import csv
import http.client
import io
import re
import subprocess


class Hourglass:
    name = "hourglass"

    def __init__(self, binary, directory, threads):
        command = [binary, "serve", "--data-dir", directory, "--listen", "127.0.0.1:0", "--query-threads", str(threads)]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = re.search(r"127\.0\.0\.1:\d+", self.server.stdout.readline())[0]

    def ask(self, sql):
        connection = http.client.HTTPConnection(self.address)
        connection.request("POST", "/sql", sql, {"accept": "text/csv"})
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(body)
        return list(csv.reader(io.StringIO(body)))[1:]
