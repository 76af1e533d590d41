"""What encoders share: how subjects are fitted, data and batches of trainings, networks and their stages."""
