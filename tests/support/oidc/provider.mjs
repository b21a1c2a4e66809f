// An agency's OpenID provider for the tests: client credentials over mutual TLS, device code, certificate-bound
// access tokens (RFC 8705) in the form of RFC 9068, and keys that rotate.
//
// Reads its configuration from the file named by its one argument, says `{"port": N}` on standard output when it
// serves, then obeys commands, one JSON object a line: `{"publish": [JWK...], "sign": kid}` answers `{}`. It ends when
// standard input closes, or after `lifeSeconds`, whichever is first.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

// Standard output speaks to the test alone.
console.info = console.error;
console.log = console.error;

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
const SCOPE = 'exchange';

setTimeout(() => process.exit(3), config.lifeSeconds * 1000).unref();

const certificateOf = (ctx) => {
  const certificate = ctx.req.socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : certificate;
};

const names = (certificate) => (certificate?.subjectAltName ?? '').split(', ');

const clients = () => [
  {
    // A workload: it proves itself by its agency's certificate, and no person is involved.
    client_id: config.workload.clientId,
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_uri: config.spiffeId,
    tls_client_certificate_bound_access_tokens: true,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  },
  {
    // A person's command line: a public client, whose tokens are bound to the certificate that it presents.
    client_id: config.device.clientId,
    token_endpoint_auth_method: 'none',
    tls_client_certificate_bound_access_tokens: true,
    grant_types: [DEVICE_CODE, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
  },
];

const rightsOf = (person) => ({
  roles: person.roles,
  clearance: person.clearance,
  purposes: person.purposes,
  nationalities: person.nationalities,
});

function provider(issuer, keys, signingKey) {
  const resource = {
    audience: config.audience,
    scope: SCOPE,
    accessTokenFormat: 'jwt',
    accessTokenTTL: config.tokenSeconds,
    jwt: { sign: { alg: 'ES256', kid: signingKey } },
  };
  return new Provider(issuer, {
    clients: clients(),
    jwks: { keys },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    cookies: { keys: [config.cookieKey] },
    scopes: ['openid'],
    clientAuthMethods: ['none', 'tls_client_auth'],
    ttl: { AccessToken: config.tokenSeconds, ClientCredentials: config.tokenSeconds, DeviceCode: 600,
      Grant: 600, IdToken: 300, Interaction: 600, RefreshToken: 600, Session: 600 },
    // A login lasts longer than a token.
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    findAccount: (_, id) => (config.people[id] === undefined
      ? undefined : { accountId: id, claims: () => ({ sub: id }) }),
    // What a person may have was settled when the account was made; nobody is asked again.
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid');
      grant.addResourceScope(config.audience, SCOPE);
      await grant.save();
      return grant;
    },
    extraTokenClaims: (_, token) => rightsOf(
      token.kind === 'ClientCredentials' ? config.workload : config.people[token.accountId],
    ),
    formats: { customizers: {
      // Who acts for somebody else is the actor, and the other the subject (RFC 8693 section 4.1).
      jwt(_, token, made) {
        const subject = config.people[token.accountId]?.actsFor;
        if (subject) Object.assign(made.payload, { sub: subject, act: { sub: token.accountId } });
      },
    } },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: false },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: certificateOf,
        certificateAuthorized: (ctx) => ctx.req.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_uri'
          && names(certificateOf(ctx)).includes(`URI:${expected}`),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => config.audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resource,
      },
    },
  });
}

let answer = (_, response) => response.writeHead(503).end();
const server = createServer({
  key: readFileSync(config.tls.key),
  cert: readFileSync(config.tls.certificate),
  ca: readFileSync(config.tls.clientRoots),
  // Browsers come without a certificate; what needs one asks for it.
  requestCert: true,
  rejectUnauthorized: false,
  minVersion: 'TLSv1.3',
}, (request, response) => answer(request, response));

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

server.listen(config.port, '127.0.0.1', () => {
  const { port } = server.address();
  const serve = (keys, kid) => { answer = provider(`https://localhost:${port}`, keys, kid).callback(); };
  serve(config.keys, config.signingKey);
  const commands = createInterface({ input: process.stdin });
  commands.on('line', (line) => {
    const { publish, sign } = JSON.parse(line);
    serve(publish, sign);
    say({});
  });
  commands.on('close', () => process.exit(0));
  say({ port });
});
