"""Plugins of Hydra, which takes launchers and sweepers from packages of this name alone; libraries are imported on use."""
