"""What setup.cfg cannot say: the files that make the distribution a ROS package (ament_python)."""

from glob import glob

from setuptools import Distribution, setup

PACKAGE = "genima_ros"


class RosDistribution(Distribution):
    """Installs `data_files` with ``pip install -e`` too: setuptools asks for `has_data`, but never defines it."""

    def has_data(self) -> bool:
        return self.has_data_files()


setup(
    distclass=RosDistribution,
    python_requires=">=3.11",  # not in setup.cfg, where it becomes an object that colcon cannot read
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", sorted(glob("launch/*.py"))),
        *(
            (f"share/{PACKAGE}/{folder}", sorted(glob(f"{folder}/*.*")))
            for folder in ("config", "config/arms", "config/controllers")
        ),
        # ROS looks for nodes here; pip installs console scripts only into bin/.
        (f"lib/{PACKAGE}", sorted(glob("scripts/*_node"))),
    ],
)
