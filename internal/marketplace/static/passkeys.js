// The forms marked data-passkey: "create" adds a passkey, "get" signs in with
// one. They stay hidden where the browser knows no passkeys, or the shop is open
// under another address than theirs. What the browser signs goes to the shop in
// the form itself, so that all that follows is as without a script.
'use strict';

const known = window.PublicKeyCredential?.parseRequestOptionsFromJSON && window.isSecureContext;

const failures = {
  NotAllowedError: 'No passkey was used. Please try again when you have it at hand.',
  InvalidStateError: 'This device has a passkey for your account already.',
};

async function sign(form) {
  const answer = await fetch(form.dataset.begin, {
    method: 'POST',
    headers: { Accept: 'application/json' },
    body: new URLSearchParams(new FormData(form)),
  });
  const body = await answer.json();
  if (!answer.ok) throw { told: body.detail };
  const credential = form.dataset.passkey === 'create'
    ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(body) })
    : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(body) });
  form.elements.response.value = JSON.stringify(credential);
  if (form.elements.current_password) form.elements.current_password.value = '';
  form.submit();
}

function prepare(form) {
  const button = form.querySelector('button');
  const problem = form.querySelector('[role="alert"]');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    try {
      await sign(form);
    } catch (error) {
      problem.textContent = error.told || failures[error.name] || 'That did not work. Please try again in a moment.';
      problem.hidden = false;
    }
    button.disabled = false;
  });
  form.hidden = false;
}

for (const form of document.querySelectorAll('form[data-passkey]')) {
  if (!known || location.origin !== form.dataset.origin) continue;
  prepare(form);
  for (const note of document.querySelectorAll('[data-without-passkeys]')) note.hidden = true;
}
