"""Runs on the Hugging Face hub: what of a run is published, with a card about it, and how one is fetched from there.

RUN --> published.py: files without the places of this machine --> push.py --> owner/name
owner/name --> pull.py: files by known names, checked, none of them executed --> RUN
"""
