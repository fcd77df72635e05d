"""ros2 launch genima_ros genima.launch.py [mode:=sim|teleop_sim|...] [name:=value ...]: all nodes of a graph.

`genima up` starts the same nodes where only the wheels are installed.
"""

from genima_ros.graph.launching import describe
from genima_ros.graph.modes import MODES


def generate_launch_description():
    return describe(*MODES)
