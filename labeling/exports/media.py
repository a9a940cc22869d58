"""Rollouts as video files for those who read videos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from core.media import blob_bytes
from rollouts.images import COLUMNS, png_decode, sprite_frames

# libx264 without macro blocks: a size of 16 would resize the clip in silence.
H264 = ["-movflags", "+faststart", "-crf", "16"]


def video_write(path: Path, sprite_sha256: str, frame_count: int, fps: float) -> None:
    """Write one rollout as H.264, unless it is there. Written beside and renamed: what is there is whole."""
    if path.exists():
        return
    import imageio_ffmpeg

    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = png_decode(blob_bytes(sprite_sha256))
    frames = sprite_frames(sheet, frame_count, sheet.shape[0] // -(-frame_count // COLUMNS), sheet.shape[1] // COLUMNS)
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # yuv420p needs even sizes
    partial = path.with_suffix(".partial.mp4")
    writer = imageio_ffmpeg.write_frames(
        str(partial), (width, height), fps=fps, codec="libx264", pix_fmt_out="yuv420p", macro_block_size=1, output_params=H264, ffmpeg_log_level="error"
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame[:height, :width]))
    writer.close()
    os.replace(partial, path)
