package credential

// Login is who to be at a registry, in the forms that docker's config.json
// knows. The zero Login is nobody: an anonymous conversation.
type Login struct {
	Username string
	Password Secret
	// IdentityToken is an OAuth 2.0 refresh token, which stands in place of a
	// password.
	IdentityToken Secret
	// RegistryToken is a bearer token that goes to the registry as it is.
	RegistryToken Secret
}

// Anonymous tells whether there is nothing to say who one is.
func (l Login) Anonymous() bool {
	return l.Username == "" && l.Password.Empty() && l.IdentityToken.Empty() && l.RegistryToken.Empty()
}
