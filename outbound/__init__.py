"""Where this server may connect to on behalf of its users. It knows no Django and no other room."""
