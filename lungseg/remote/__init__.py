"""Files that lie elsewhere: Azure Blob storage, S3 and whatever fsspec knows, read through a cache on this machine."""
