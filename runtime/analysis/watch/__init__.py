"""A page that shows runs as they grow: followed.py reads them, filters.py draws, board.py keeps what server.py sends."""
