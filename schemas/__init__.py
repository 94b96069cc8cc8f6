"""What travels on the topics: typed events, codecs, adapters from other people's formats. Imports nothing of ours."""
