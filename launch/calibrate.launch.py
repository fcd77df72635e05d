"""ros2 launch genima_ros calibrate.launch.py arm:=fr3 rig:=rig.json [camera:=front] [name:=value ...]; --show-args.

The rig's cameras as frames of TF. With `camera:=` also that of the board which this camera sees, and easy_handeye2 with
the right frames; then `genima calibrate install ~/.ros2/easy_handeye2/calibrations/front.calib --rig rig.json`.
"""

from launch.actions import OpaqueFunction

from genima_ros.graph.launching import describe, start_handeye


def generate_launch_description():
    description = describe("calibrate")
    description.add_action(OpaqueFunction(function=start_handeye))
    return description
