"""Who a device is: the project's CA, what it signs, and whether files of others will do."""
