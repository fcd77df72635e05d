"""ros2 launch genima_ros teleop.launch.py [mode:=teleop_real] [name:=value ...]: an arm that mirrors a leader.

`mode:=teleop_sim` does it without hardware; `genima record` records either. --show-args lists the arguments.
"""

from genima_ros.graph.launching import describe


def generate_launch_description():
    return describe("teleop_real", "teleop_sim")
