"""ros2 launch genima_ros genima.launch.py [graph:=sim] [name:=value ...]: all nodes of a graph.

`genima up` starts the same nodes where only the wheels are installed.
"""

from genima_ros.graph import MODES
from genima_ros.launching import describe


def generate_launch_description():
    return describe(*MODES)
