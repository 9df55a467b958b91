// One ES384 token per call, signed in the browser as the public CDS Hooks sandbox does.

const LIFE_SECONDS = 300;

export function signer(settings) {
  const key = crypto.subtle.importKey("jwk", settings.key, { name: "ECDSA", namedCurve: "P-384" }, false, ["sign"]);
  return async (audience) => {
    const header = { alg: "ES384", typ: "JWT", kid: settings.key.kid, jku: settings.jku };
    const issued = Math.floor(Date.now() / 1000);
    const claims = { iss: settings.issuer, aud: audience, iat: issued, exp: issued + LIFE_SECONDS, jti: crypto.randomUUID() };
    const signed = `${encoded(JSON.stringify(header))}.${encoded(JSON.stringify(claims))}`;
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, await key, new TextEncoder().encode(signed));
    return `${signed}.${base64url(new Uint8Array(signature))}`;
  };
}

function encoded(text) {
  return base64url(new TextEncoder().encode(text));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
