// The server's HTTP API, as the user who has logged in.

const KEY = "kalam-token";
let token = sessionStorage.getItem(KEY);

/** Called when the token is no longer good. */
export const session = { ended() {} };

export const isLoggedIn = () => token !== null;
export const currentToken = () => token;

export async function logIn(user, password) {
  const { access_token } = await ask("/v1/api/auth/login", { user, password });
  token = access_token;
  sessionStorage.setItem(KEY, token);
}

export function logOut() {
  token = null;
  sessionStorage.removeItem(KEY);
}

export const get = (path) => ask(path);

/** The results of one or more statements. Throws an Error with the server's sentence. */
export async function sql(text) {
  const { results, took } = await ask("/v1/api/sql", { sql: text });
  return { results, took };
}

async function ask(path, body) {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const request = body && {
    method: "POST",
    body: JSON.stringify(body),
    headers: { ...headers, "content-type": "application/json" },
  };
  const response = await fetch(path, request ?? { headers });
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401 && token !== null) {
    logOut();
    session.ended();
  }
  if (!response.ok || answer.status === "error") {
    const problem = answer.error?.message ?? answer.message ?? `the server answered ${response.status}`;
    throw new Error(problem);
  }
  return answer;
}
