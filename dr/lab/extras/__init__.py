"""What a region of the lab holds beside database, names and Deployments, each part in its own file: started only where asked for."""
