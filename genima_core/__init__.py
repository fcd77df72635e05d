"""Genima's core: drawing targets, following them and streaming safely. No ROS anywhere."""
