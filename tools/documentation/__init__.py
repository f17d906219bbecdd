"""What builds the documentation site: hooks of MkDocs and the drawings on its pages."""
