"""The DICOM receiver: takes films by C-STORE and hands each to the API, which queues it durably."""
