"""The two web applications: the prediction API and the clinician's pages."""
