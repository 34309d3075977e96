"""Heads of pages and metadata files, a module for each platform."""
