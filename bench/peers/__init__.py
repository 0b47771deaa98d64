"""The peers that shaper is measured beside. Each module starts one, configured to slow as evenly as it can."""
