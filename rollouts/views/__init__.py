"""Pages of the studio. Researchers read and sample; admins curate."""
