"""Tables for papers and spreadsheets: CSV, LaTeX, Markdown and Parquet."""
