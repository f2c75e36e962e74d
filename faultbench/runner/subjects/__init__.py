"""Building of subjects: trained, protected networks that are ready for trials, and what is stored of them."""
