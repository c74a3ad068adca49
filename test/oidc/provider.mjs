// A real OpenID provider on loopback, as the tests configure it:
//
//   node provider.mjs CONFIG.json
//
// CONFIG: {port, issuer, cert, key, ready, jwks, clients, accounts, idTokenSeconds}.
// `oidc-provider` does everything; people log in with any password at its own
// development pages, since what is tested is who comes back. It is found beside
// this file, or in the folder $ODDJOB_TEST_OIDC (test/oidc/provider_install.py makes it).
import fs from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.ODDJOB_TEST_OIDC ?? '.', 'x.js'));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const provider = new Provider(config.issuer, {
  clients: config.clients,
  jwks: config.jwks,
  cookies: { keys: ['only for tests'] },
  conformIdTokenClaims: false,
  claims: { openid: ['sub', 'groups'], email: ['email', 'email_verified'] },
  scopes: ['openid', 'email', 'profile', 'offline_access'],
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
  },
  pkce: { methods: ['S256'], required: () => true },
  rotateRefreshToken: true,
  ttl: { IdToken: config.idTokenSeconds, AccessToken: 600, RefreshToken: 86400, Session: 3600, Grant: 86400,
         Interaction: 3600, DeviceCode: 600 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...config.accounts[id] }) }),
});
provider.on('server_error', (ctx, error) => console.error(error));

const server = https.createServer({ cert: fs.readFileSync(config.cert), key: fs.readFileSync(config.key) },
                                  provider.callback());
server.listen(config.port, '127.0.0.1', () => fs.writeFileSync(config.ready, String(server.address().port)));
