"""ros2 launch genima_ros sim.launch.py [name:=value ...]: the simulated cell and all nodes; --show-args lists them."""

from genima_ros.graph.launching import describe


def generate_launch_description():
    return describe("sim")
