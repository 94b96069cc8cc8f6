// Signing in with a token.

import { html, useEffect, useRef, useState } from "../html.js";
import { signedOutBecause, signIn } from "../api.js";
import { useStore } from "../store.js";

export function SignInPage() {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef(null);
  const reason = useStore(signedOutBecause);
  useEffect(() => {
    document.title = "Sign in – triage";
    field.current.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const token = field.current.value.trim();
    if (!token) {
      setError("Enter your token.");
      return;
    }
    setBusy(true);
    setError("");
    try {
      await signIn(token);
    } catch (problem) {
      setBusy(false);
      setError(problem.message);
      field.current.select();
    }
  };
  return html`<main id="main" class="page sign-in" tabindex="-1">
    <form class="panel" onSubmit=${submit} method="post">
      <h1>Sign in</h1>
      ${reason && html`<p class="banner">${reason}</p>`}
      <p>You need the token that whoever runs this console has given to you.</p>
      <label>
        <span>Token</span>
        <input
          ref=${field}
          type="password"
          name="token"
          autocomplete="current-password"
          spellcheck="false"
          aria-invalid=${error ? "true" : undefined}
          aria-describedby=${error ? "sign-in-error" : undefined}
        />
      </label>
      ${error && html`<p class="banner bad" id="sign-in-error" role="alert">${error}</p>`}
      <button type="submit" class="button primary"
        disabled=${busy}>${busy ? "Signing in …" : "Sign in"}</button>
    </form>
  </main>`;
}
