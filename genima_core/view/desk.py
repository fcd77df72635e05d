"""How the viewer is laid out, so that an episode can be judged at a glance."""

import rerun.blueprint as rrb

from genima_core.view.log import ABOUT, DRAWING, ERROR, GRIPPER, JOINTS, LOG, SKEW, STATES, TIMELINE, WORLD, camera_path

EYE_M, LOOK_AT_M = (1.5, 0.95, 0.85), (0.25, 0.0, 0.3)
DARK = (24, 26, 30)


def lay_out(cameras: tuple[str, ...], drawn: bool) -> rrb.Blueprint:
    """Pictures and drawing beside the arm in space; below them states, joints, gripper, skews and words."""
    pictures = [rrb.Spatial2DView(origin=camera_path(name), name=name) for name in cameras]
    views: list[rrb.Container | rrb.View] = [rrb.Grid(*pictures, grid_columns=2 if len(pictures) <= 4 else 3)]
    if drawn:
        views.append(rrb.Spatial2DView(origin=DRAWING, name="what the agent drew"))
    eye = rrb.EyeControls3D(kind=rrb.Eye3DKind.Orbital, position=EYE_M, look_target=LOOK_AT_M, eye_up=(0, 0, 1))
    scene = rrb.Spatial3DView(
        origin=WORLD, name="the arm, its targets and the cameras", eye_controls=eye, background=DARK
    )
    numbers = rrb.Vertical(
        rrb.TimeSeriesView(origin=JOINTS, name="joints, rad: measured thick, commanded thin", plot_legend=_HIDDEN),
        rrb.Horizontal(
            rrb.TimeSeriesView(origin=GRIPPER, name="gripper, 1 is open", plot_legend=_CORNER),
            rrb.TimeSeriesView(origin=ERROR, name="following error, rad", plot_legend=_HIDDEN),
            rrb.TimeSeriesView(origin=SKEW, name="skew to the first camera, ms", plot_legend=_CORNER),
        ),
        row_shares=[3, 2],
    )
    words = rrb.Vertical(
        rrb.StateTimelineView(origin=STATES, name="states"),
        rrb.Tabs(
            rrb.TextDocumentView(origin=ABOUT, name="this episode"), rrb.TextLogView(origin=LOG, name="what was said")
        ),
        row_shares=[1, 1],
    )
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(*views, scene, column_shares=[*[1.0] * len(views), 1.2]),
            rrb.Horizontal(numbers, words, column_shares=[3, 2]),
            row_shares=[3, 2],
        ),
        rrb.BlueprintPanel(state="expanded"),  # the list of episodes
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE, play_state="paused"),
    )


_HIDDEN, _CORNER = rrb.PlotLegend(visible=False), rrb.PlotLegend(corner=rrb.Corner2D.LeftTop)
