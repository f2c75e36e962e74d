"""What people look at: tables, figures and reports. Imports no torch."""
