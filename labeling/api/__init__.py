"""The HTTP API of labeling: the annotator's loop, exports, quality and webhooks."""
