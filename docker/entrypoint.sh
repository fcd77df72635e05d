#!/usr/bin/env bash
# Sources ROS 2 and the driver's messages, puts the project's environment before both, and runs the command.
set -eo pipefail # not -u: ROS's own scripts read variables that are not set

# shellcheck source=/dev/null
source "/opt/ros/${ROS_DISTRO}/setup.bash"
# shellcheck source=/dev/null
source /opt/franka_msgs/local_setup.bash
export PATH="/opt/genima/.venv/bin:${PATH}"
export AMENT_PREFIX_PATH="/opt/genima/.venv:${AMENT_PREFIX_PATH}"

exec "$@"
