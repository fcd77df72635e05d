"""`python -m genima_ros.nodes NAME --ros-args ...`: the node of the file NAME as a process."""

import sys

from genima_ros.nodes.base import run

if __name__ == "__main__":
    run(sys.argv.pop(1))
