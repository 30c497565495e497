"""The daemon as a service: several searches at once, taken from several people, for weeks."""
