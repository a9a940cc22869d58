/** A sprite sheet of one rollout: frame i lies at column i % columns, row floor(i / columns). Sizes are those of one frame, in pixels. */
export interface SpriteSheet {
  url: string;
  columns: number;
  frameCount: number;
  width: number;
  height: number;
}

/** The decoded sheet. It is decoded once, off the main thread; drawing a frame is then a copy of a rectangle. */
export class Sprite {
  private constructor(
    readonly sheet: SpriteSheet,
    private bitmap: ImageBitmap | null,
  ) {}

  /** Raises an Error when the image can not be fetched or is too small for its frames. */
  static async load(sheet: SpriteSheet, signal?: AbortSignal): Promise<Sprite> {
    const response = await fetch(sheet.url, { credentials: "same-origin", signal: signal ?? null });
    if (!response.ok) throw new Error(`The frames could not be fetched (${response.status}).`);
    return Sprite.decode(sheet, await response.blob());
  }

  static async decode(sheet: SpriteSheet, blob: Blob): Promise<Sprite> {
    const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    const rows = Math.ceil(sheet.frameCount / sheet.columns);
    if (bitmap.width < sheet.columns * sheet.width || bitmap.height < rows * sheet.height) {
      bitmap.close();
      throw new Error(`The sprite sheet is ${bitmap.width} x ${bitmap.height}, too small for ${sheet.frameCount} frames of ${sheet.width} x ${sheet.height}.`);
    }
    return new Sprite(sheet, bitmap);
  }

  /** Draws frame `index` into the whole canvas, or the part `view` of it (0..1 of the frame). */
  draw(context: CanvasRenderingContext2D, index: number, view: View = WHOLE): void {
    if (!this.bitmap) return;
    const { columns, width, height, frameCount } = this.sheet;
    const frame = Math.min(Math.max(index, 0), frameCount - 1);
    const left = (frame % columns) * width + view.x * width;
    const top = Math.floor(frame / columns) * height + view.y * height;
    context.drawImage(this.bitmap, left, top, view.size * width, view.size * height, 0, 0, context.canvas.width, context.canvas.height);
  }

  /** Frees the pixels; the sprite draws nothing afterwards. */
  close(): void {
    this.bitmap?.close();
    this.bitmap = null;
  }
}

/** The visible part of a frame: its upper left corner and its size, in 0..1 of the frame. */
export interface View {
  x: number;
  y: number;
  size: number;
}
export const WHOLE: View = { x: 0, y: 0, size: 1 };

/** A view of the given zoom (1 = whole) around a centre (0..1), kept inside the frame. */
export function zoomedView(zoom: number, centreX: number, centreY: number): View {
  const size = 1 / Math.max(zoom, 1);
  const keep = (centre: number): number => Math.min(Math.max(centre - size / 2, 0), 1 - size);
  return { x: keep(centreX), y: keep(centreY), size };
}

/**
 * Gives the canvas a backing store that is a whole multiple of the frame, at least as large as it is shown, so that every pixel of a
 * small frame becomes a square of equal size. Returns true when the size changed (which clears the canvas).
 */
export function fitBacking(canvas: HTMLCanvasElement, frameWidth: number, frameHeight: number): boolean {
  const shown = canvas.clientWidth * (window.devicePixelRatio || 1);
  const scale = Math.min(Math.max(Math.ceil(shown / frameWidth), 1), Math.max(1, Math.floor(2048 / frameWidth)));
  const width = frameWidth * scale;
  const height = frameHeight * scale;
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (context) context.imageSmoothingEnabled = false;
  return true;
}
