"""`_crowd.py ADDRESS VIEWERS STALLED SECONDS`: watches the console; prints each reader's rate of pictures, Hz."""

import sys
import time

from _viewer import Viewer


def main(address: str, viewers: int, stalled: int, seconds: float) -> None:
    reading = [Viewer(address) for _ in range(viewers)]
    silent = [Viewer(address, stalled=True) for _ in range(stalled)]
    while min(viewer.pictures() for viewer in reading) == 0:
        time.sleep(0.05)
    before, began_s = [viewer.pictures() for viewer in reading], time.monotonic()
    time.sleep(seconds)
    passed_s = time.monotonic() - began_s
    print(*((viewer.pictures() - count) / passed_s for viewer, count in zip(reading, before, strict=True)))
    for viewer in (*reading, *silent):
        viewer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
