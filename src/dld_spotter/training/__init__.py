"""The training stages as LightningModules, and what runs beside them."""
