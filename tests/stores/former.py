"""Turns the store log-3 into those of the two log formats before it, which no binary at hand writes: former.py, in this folder.

src/storage/wal/frame.rs has the formats. Version 2 has no mark of its own in each segment; version 1 has no idempotency keys
either, and so no folder of them. The table is as it was.
"""

import json, pathlib, shutil, struct, subprocess, tempfile

POLYNOMIAL = 0x82F63B78
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def former(segment, version):
    magic, _, mark, sequence, base = struct.unpack("<8sI4sQQ", segment[:32])
    head = struct.pack("<8sI4sQQ", magic, version, bytes(4), sequence, base)
    out, at = [head + struct.pack("<I", crc32c(head)) + bytes(28)], 64
    while segment[at : at + 4] == mark:
        length, _, count, first = struct.unpack("<IIIQ", segment[at + 4 : at + 24])
        payload = segment[at + 24 : at + 24 + length]
        at += 24 + length
        if version == 1:
            (users,) = struct.unpack("<I", payload[12 * count - 4 : 12 * count])
            payload = payload[: 13 * count + users]
        summed = struct.pack("<IQ", count, first) + payload
        crc = crc32c(struct.pack("<Q", sequence) + summed)
        out.append(b"HGFR" + struct.pack("<II", len(payload), crc) + summed)
    written = b"".join(out)
    return written + bytes(len(segment) - len(written))


here = pathlib.Path(__file__).parent
for version in [1, 2]:
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["tar", "-xzf", here / "log-3.tar.gz", "-C", work], check=True)
        for segment in pathlib.Path(work).glob("store/wal/*.wal"):
            segment.write_bytes(former(segment.read_bytes(), version))
        known = json.loads((here / "log-3.json").read_text())
        known["made_by"] = f"former.py, of log-3 made by {known['made_by']}"
        if version == 1:
            shutil.rmtree(f"{work}/store/keys")
            known["keys"], known["flushed_keys"] = [], 0
        (here / f"log-{version}.json").write_text(json.dumps(known, indent=1) + "\n")
        command = ["tar", "-C", work, "--owner=0", "--group=0", "--sort=name", "-czf", here / f"log-{version}.tar.gz", "store"]
        subprocess.run(command, check=True)
