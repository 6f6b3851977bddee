// The browser's side of the end-to-end tests:
//
//   node browser.mjs visit|visit-without-javascript|account|passkey|keyboard|accessibility URL CHROMIUM
//
// Prints what it does, and exits with 1 on the first thing that is not as it
// should be. With SCREENSHOTS set to a folder, pictures of the pages are put
// there.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [task, shop, executablePath] = process.argv.slice(2);
const screenshots = process.env.SCREENSHOTS;

const sizes = {
  desktop: { width: 1280, height: 900 },
  phone: { width: 390, height: 844 },
};

// visit opens a context of its own, and afterwards checks that the browser had
// nothing to complain about: no script error, no violation of the content
// security policy, no answer that says error.
async function visit(browser, options, walk) {
  const context = await browser.newContext({ baseURL: shop, viewport: sizes.desktop, ...options });
  const home = options.baseURL ?? shop;
  const complaints = [];
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  context.on('weberror', (error) => complaints.push(`script: ${error.error().message}`));
  context.on('requestfailed', (request) => {
    const error = request.failure()?.errorText;
    // What is still loading when the visitor goes on is given up, which is fine.
    if (error !== 'net::ERR_ABORTED') complaints.push(`failed: ${request.url()} ${error}`);
  });
  context.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`answer ${response.status()}: ${response.url()}`);
    if (new URL(response.url()).origin !== home) complaints.push(`foreign request: ${response.url()}`);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  try {
    await walk(page);
  } catch (error) {
    console.error(`at ${page.url()}\n${complaints.join('\n')}`);
    throw error;
  } finally {
    await context.close();
  }
  assert.deepEqual(complaints, [], 'the browser complains');
}

const heading = (page) => page.getByRole('heading', { level: 1 });

// booksIn are the paths of the books on the cards in part of a page, without
// the titles that may follow the number.
async function booksIn(part) {
  const links = await part.locator('a.book').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
  return links.map((href) => href.match(/^\/book\/\d+/)[0]);
}

const personalRows = (page) => page.locator('section.row:not(#row-best-sellers)');
const currentBook = (page) => new URL(page.url()).pathname.match(/^\/book\/\d+/)[0];

async function chooseReader(page, name) {
  await page.goto('/');
  await page.getByRole('main').getByRole('link', { name: 'Choose a demo reader' }).click();
  await page.getByRole('button', { name }).first().click();
  await page.waitForURL('/');
}

// rate gives the book of the present page five stars, with the mouse.
async function rate(page, stars) {
  const words = `${stars} stars`;
  await page.getByTitle(words, { exact: true }).click();
  assert.ok(await page.getByRole('radio', { name: words, exact: true }).isChecked(), `${words} is not chosen after a click on it`);
  await page.getByRole('button', { name: 'Rate', exact: true }).click();
  await page.getByText(`${stars} of 5`).waitFor();
}

// A demo reader sees personal rows with reasons; a rated book leaves them at
// once.
async function demoReader(page) {
  await chooseReader(page, /^Simulated reader \d+/);
  assert.match(await heading(page).innerText(), /^Chosen for Simulated reader/);
  assert.ok(await page.getByText(/^Because you /).count() > 0, 'the first page of a demo reader gives no reasons');
  const row = personalRows(page).first();
  const before = await booksIn(row);
  assert.ok(before.length >= 3, `the first row has ${before.length} books`);
  await row.locator('a.book').first().click();
  assert.equal(currentBook(page), before[0]);
  const title = await heading(page).innerText();
  console.log(`opened “${title}” from the first row`);
  assert.ok(await page.getByRole('img', { name: `Drawn cover of ${title}` }).isVisible(), 'the book has no cover');
  assert.ok((await booksIn(page.locator('#similar'))).length >= 3, 'the book has no similar books');

  await rate(page, 5);
  await page.goto('/');
  const after = await booksIn(personalRows(page));
  assert.ok(after.length >= 3, 'the first page has no rows after the rating');
  assert.ok(!after.includes(before[0]), 'the rated book is suggested again');
  console.log('rated it, and it is gone from the rows');
}

// Somebody new becomes a reader with the first rating; the next page is about
// that book.
async function newReader(page) {
  await page.goto('/science-fiction');
  assert.equal(await heading(page).innerText(), 'Science fiction');
  await page.locator('a.book').first().click();
  const book = currentBook(page);
  const title = await heading(page).innerText();
  await rate(page, 4.5);
  await page.goto('/');
  assert.match(await heading(page).innerText(), /^Chosen for/);
  const reasons = page.getByText(/^Because you rated/).filter({ hasText: title });
  assert.ok(await reasons.count() > 0, `no reason on the first page names “${title}”`);
  assert.ok(!(await booksIn(personalRows(page))).includes(book), 'the rated book is suggested');
  console.log(`rated “${title}” as somebody new, and the next page says: ${(await reasons.first().innerText()).replace(/\s+/g, ' ')}`);

  const second = personalRows(page).first().locator('a.book').first();
  await second.click();
  const wanted = await heading(page).innerText();
  await page.getByRole('button', { name: 'Want to read', exact: true }).click();
  await page.locator('button[aria-pressed="true"]', { hasText: 'Want to read' }).waitFor();
  await page.getByRole('link', { name: 'My shelves' }).click();
  const shelf = page.getByRole('main');
  for (const name of [title, wanted]) {
    assert.ok(await shelf.getByText(name, { exact: true }).first().isVisible(), `“${name}” is not on the shelves`);
  }
  console.log(`put “${wanted}” on a shelf, where it is found again`);
}

// pause stops what is made of the reader's books, from the very next page on, and
// takes it up again.
async function pause(page) {
  await page.goto('/fantasy');
  await page.locator('a.book').first().click();
  const title = await heading(page).innerText();
  await rate(page, 5);
  await page.goto('/');
  await page.getByText(/^Because you rated/).filter({ hasText: title }).first().waitFor();
  await page.getByRole('contentinfo').getByRole('link', { name: 'How recommendations work' }).click();
  await page.getByRole('button', { name: 'Pause personalisation' }).click();
  await page.waitForURL('/how#personalisation');
  await page.getByText('Paused.', { exact: true }).waitFor();
  await page.goto('/');
  assert.equal(await heading(page).innerText(), 'The same for everybody');
  assert.equal(await page.getByText(/^Because/).count(), 0, 'a reason names a book of the reader');
  const shown = await booksIn(page.locator('#row-for-you'));
  assert.ok(shown.length > 0, 'nothing is shown to who has paused');
  await page.goto('/me');
  await page.getByRole('main').getByText(title, { exact: true }).first().waitFor();
  await page.goto('/me/data');
  await page.getByRole('button', { name: 'Resume personalisation' }).click();
  await page.waitForURL('/me/data#personalisation');
  await page.goto('/');
  await page.getByText(/^Because you rated/).filter({ hasText: title }).first().waitFor();
  console.log(`paused, and “${title}” was no reason any more; resumed, and it was`);
}

const password = 'gelber stuhl am see';

// pasted types nothing: whoever keeps passwords elsewhere pastes them.
async function pasted(field, text) {
  await field.evaluate((input, value) => {
    const data = new DataTransfer();
    data.setData('text/plain', value);
    if (input.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }))) input.value = value;
  }, text);
}

// account makes an account from a visit, whose shelf comes along, signs out and
// in again, and changes the password.
async function account(page, javascript) {
  const name = `reader-${javascript ? 'with' : 'without'}-script`;
  await page.goto('/mystery');
  await page.locator('a.book').first().click();
  const title = await heading(page).innerText();
  await page.getByRole('button', { name: 'Want to read', exact: true }).click();
  await page.locator('button[aria-pressed="true"]', { hasText: 'Want to read' }).waitFor();

  await page.goto('/sign-in');
  await page.getByRole('main').getByRole('link', { name: 'Make one.' }).click();
  await page.getByLabel('User name').fill(name.toUpperCase());
  if (javascript) await pasted(page.getByLabel('Password'), password);
  else await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Make the account' }).click();
  await page.waitForURL('/');
  await page.getByRole('link', { name: 'My shelves' }).click();
  await page.getByRole('main').getByText(title, { exact: true }).first().waitFor();
  console.log(`made the account ${name}, and “${title}” came along`);

  await page.getByRole('link', { name }).click();
  await page.waitForURL('/account');
  await page.getByText('this one').waitFor();
  await page.getByLabel('Present password').fill(password);
  await page.getByLabel('New password').fill(`${password} 2`);
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.getByText('Your password is changed').waitFor();
  await page.getByRole('button', { name: 'Sign out here' }).click();
  await page.waitForURL('/');
  await page.goto('/me');
  await page.getByText('Nobody is reading yet.').waitFor();
  await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('User name').fill(name);
  await page.getByLabel('Password').fill(`${password} 2`);
  await page.getByLabel('Password').press('Enter');
  await page.waitForURL('/me');
  await page.getByRole('main').getByText(title, { exact: true }).first().waitFor();
  console.log('changed the password, signed out, and found the shelf again');
}

// passkey makes an account, adds a passkey that the browser's own authenticator
// keeps, and signs in with it from another visit, whose shelf comes along.
async function passkey(page) {
  const device = await page.context().newCDPSession(page);
  await device.send('WebAuthn.enable');
  const { authenticatorId } = await device.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  });
  const shelve = async (category) => {
    await page.goto(category);
    await page.locator('a.book').first().click();
    const title = await heading(page).innerText();
    await page.getByRole('button', { name: 'Want to read', exact: true }).click();
    await page.locator('button[aria-pressed="true"]', { hasText: 'Want to read' }).waitFor();
    return title;
  };
  await page.goto('/sign-up');
  await page.getByLabel('User name').fill('reader-with-passkey');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Make the account' }).click();
  await page.waitForURL('/');
  const before = await shelve('/mystery');

  await page.goto('/account');
  await page.getByLabel('Name of the passkey').fill('Phone');
  await page.getByLabel('Your password, to be sure it is you').fill(password);
  await everyWay(page, 'account-adding-passkey');
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByText('The passkey is added.').waitFor();
  await page.getByText('not used yet').waitFor();
  const { credentials } = await device.send('WebAuthn.getCredentials', { authenticatorId });
  assert.deepEqual(credentials.map((c) => [c.rpId, c.isResidentCredential]), [['localhost', true]]);
  await page.getByText('Rename').click();
  await page.locator('summary + .field input').fill('Old phone');
  await everyWay(page, 'account-passkeys');
  await page.getByRole('button', { name: 'Save the name' }).click();
  await page.getByText('The passkey has its new name.').waitFor();
  await page.locator('strong', { hasText: /^Old phone$/ }).waitFor();
  await page.getByRole('button', { name: 'Sign out here' }).click();
  await page.waitForURL('/');

  const meanwhile = await shelve('/fantasy');
  await page.goto('/sign-in?next=/me');
  await everyWay(page, 'sign-in-passkey');
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
  await page.waitForURL('/me');
  for (const title of [before, meanwhile]) await page.getByRole('main').getByText(title, { exact: true }).first().waitFor();
  await page.goto('/account');
  await page.getByText(/last used/).waitFor();

  // A device without passkeys gives up, and says so.
  await page.getByRole('button', { name: 'Sign out here' }).click();
  await page.waitForURL('/');
  await device.send('WebAuthn.clearCredentials', { authenticatorId });
  await page.goto('/sign-in');
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
  await page.getByRole('alert').getByText('No passkey was used.').waitFor();
  await everyWay(page, 'sign-in-passkey-refused');
  console.log(`added a passkey, and found “${before}” and “${meanwhile}” after signing in with it`);
}

// withoutPasskeys sees what there is of passkeys without a script, or where the
// shop does not know its address: words, and no button that does nothing.
async function withoutPasskeys(page, name, words) {
  await page.goto('/sign-in');
  assert.equal(await page.getByRole('button', { name: 'Sign in with a passkey' }).count(), 0, 'the button is there');
  await page.goto('/sign-up');
  await page.getByLabel('User name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Make the account' }).click();
  await page.waitForURL('/');
  await page.goto('/account');
  await page.getByText(words).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Add a passkey' }).count(), 0, 'the button is there');
  console.log(`${name} has no passkeys, and is told why`);
}

// everyWay inspects the present page in every scheme and size.
async function everyWay(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const [size, viewport] of Object.entries(sizes)) {
      await page.setViewportSize(viewport);
      await inspect(page, `${name}, ${colorScheme}, ${size}`);
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= seen, `${name}, ${colorScheme}, ${size}: ${wide} pixels wide where ${seen} are seen`);
      await photograph(page, `${name}-${colorScheme}-${size}`);
    }
  }
  await page.setViewportSize(sizes.desktop);
}

async function searching(page) {
  await page.goto('/');
  await page.getByRole('searchbox').fill('dune');
  await page.getByRole('searchbox').press('Enter');
  await page.waitForURL('/search?q=dune');
  assert.ok((await booksIn(page.getByRole('main'))).length > 0, 'nothing found for “dune”');
  const main = page.getByRole('main');
  const filters = page.getByRole('navigation', { name: 'Narrow the search down' });
  await page.goto('/search?q=the');
  const all = await booksIn(main);
  await filters.getByRole('link', { name: 'Fantasy', exact: true }).click();
  await page.waitForURL('/search?category=fantasy&q=the');
  assert.notDeepEqual(await booksIn(main), all, 'a filter changes nothing');
  await filters.getByRole('link', { name: 'Remove the filter Fantasy' }).click();
  await page.waitForURL('/search?q=the');
  assert.deepEqual(await booksIn(main), all, 'without the filter there are other books than before');
  await page.getByRole('link', { name: 'Next page' }).click();
  const further = await booksIn(main);
  assert.ok(further.length > 0 && !further.some((book) => all.includes(book)), 'the second page has books of the first');
  await page.goto('/search?q=frankenstien');
  assert.match(await page.locator('a.book').first().innerText(), /Frankenstein/);
  await page.goto('/search?q=frankenstein+zzzzzzzz');
  await page.getByRole('link', { name: 'frankenstein', exact: true }).click();
  await page.waitForURL('/search?q=frankenstein');
  console.log('searched, and found, also with a slip, a filter and further pages');
}

// keyboard does the main task without a mouse.
async function keyboard(page) {
  await page.goto('/');
  await page.keyboard.press('Tab');
  assert.match(await focused(page), /^Skip to/, 'the first stop is not the way past the header');
  await page.keyboard.press('Enter');
  await tabTo(page, /^Choose a demo reader$/);
  await page.keyboard.press('Enter');
  await page.waitForURL('/reader');
  await tabTo(page, /^Simulated reader \d+/);
  await page.keyboard.press('Enter');
  await page.waitForURL('/');
  const [book] = await booksIn(personalRows(page).first());
  await tabTo(page, (href) => href.startsWith(book));
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith(book));

  await tabTo(page, 'radio');
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowRight');
  const chosen = await page.locator('input[name="rating"]:checked').getAttribute('value');
  await tabTo(page, /^Rate$/);
  await page.keyboard.press('Enter');
  await page.getByText(`${chosen} of 5`).waitFor();
  console.log(`chose a reader, opened a book and gave it ${chosen} of 5, all with the keyboard`);
}

// focused is the name of what has the focus; a link's is its text.
const focused = (page) => page.evaluate(() => document.activeElement.innerText?.trim() || document.activeElement.type || '');

// tabTo presses Tab until the focus is on what is wanted: a pattern for its
// text, a type of input, or a test of a link's address.
async function tabTo(page, wanted) {
  for (let stops = 0; stops < 200; stops++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      return { text: element.innerText?.trim() ?? '', type: element.type ?? '', href: element.getAttribute('href') ?? '' };
    });
    const found = typeof wanted === 'function' ? wanted(at.href) : typeof wanted === 'string' ? at.type === wanted : wanted.test(at.text);
    if (found) return;
  }
  assert.fail(`cannot be reached with Tab: ${wanted}`);
}

const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const wcag = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

// inspect runs axe on the present page, and makes sure that it really ran.
async function inspect(page, name) {
  await page.evaluate(axeSource);
  const result = await page.evaluate((tags) => axe.run({ runOnly: tags, resultTypes: ['violations'], preload: false }), wcag);
  const ran = new Set([...result.passes, ...result.violations, ...result.incomplete].map((rule) => rule.id));
  for (const rule of ['color-contrast', 'document-title', 'html-has-lang', 'link-name', 'target-size']) {
    assert.ok(ran.has(rule), `${name}: axe did not run ${rule}`);
  }
  const violations = result.violations.map((rule) => `${rule.id}: ${rule.help}\n    ${rule.nodes.map((node) => `${node.html}\n      ${node.failureSummary.replace(/\n\s*/g, ' ')}`).join('\n    ')}`);
  assert.deepEqual(violations, [], `${name}: axe finds\n  ${violations.join('\n  ')}`);
  return ran.size;
}

async function photograph(page, name) {
  if (!screenshots) return;
  await mkdir(screenshots, { recursive: true });
  // Playwright's own way to hide the caret is an inline style, which the shop's
  // content security policy forbids.
  await page.screenshot({ path: path.join(screenshots, `${name}.png`), caret: 'initial' });
  await page.screenshot({ path: path.join(screenshots, `${name}-whole.png`), caret: 'initial', fullPage: true });
}

// enter signs in with the one account of the accessibility test, made by the
// first who asks.
let made = false;
async function enter(page) {
  await page.goto(made ? '/sign-in?next=/account' : '/sign-up');
  await page.getByLabel('User name').fill('accessible');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('main').getByRole('button').click();
  await page.waitForURL(made ? '/account' : '/');
  made = true;
  await page.goto('/account');
}

// importing sends the file of another site, with a row that cannot be found.
async function importing(page) {
  await page.goto('/me/data');
  await page.getByLabel('File of your shelves').setInputFiles({
    name: 'goodreads.csv',
    mimeType: 'text/csv',
    buffer: Buffer.from('Title,Author,My Rating,Exclusive Shelf\n' +
      'Frankenstein,Mary Shelley,5,read\nDracula,Bram Stoker,4,read\nA Book That Nobody Wrote,Nobody At All,3,to-read\n'),
  });
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await page.getByText('2 of 3 rows taken').waitFor();
}

// press uses a button of the present page, and waits for where it leads.
async function press(page, button, address) {
  await page.getByRole('button', { name: button, exact: true }).click();
  await page.waitForURL(address);
}

// accessibility inspects every kind of page in one scheme and size, and checks
// that it does not scroll sideways.
async function accessibility(page, scheme, size) {
  const pages = [
    ['home-anonymous', () => page.goto('/')],
    ['readers', () => page.goto('/reader')],
    ['home', () => chooseReader(page, /^Simulated reader \d+/)],
    ['category', () => page.goto('/mystery')],
    ['book', () => page.locator('a.book').first().click()],
    ['shelves', () => page.goto('/me')],
    ['search', () => page.goto('/search?q=the')],
    ['search-filtered', () => page.goto('/search?q=the&category=fantasy')],
    ['search-meant', () => page.goto('/search?q=dune+zzzzzzzzzzzz')],
    ['search-nothing', () => page.goto('/search?q=zzzzzzzzzzzz')],
    ['how', () => page.goto('/how')],
    ['sign-in', () => page.goto('/sign-in')],
    ['sign-up', () => page.goto('/sign-up')],
    ['data-demo', () => page.goto('/me/data')],
    ['account', () => enter(page)],
    ['data', () => page.goto('/me/data')],
    ['imported', () => importing(page)],
    ['account-home', () => page.goto('/')],
    ['how-paused', async () => {
      await page.goto('/how');
      await press(page, 'Pause personalisation', '/how#personalisation');
    }],
    ['data-paused', () => page.goto('/me/data')],
    ['home-paused', () => page.goto('/')],
    ['home-resumed', () => press(page, 'Resume personalisation', '/')],
  ];
  for (const [name, open] of pages) {
    await open();
    await heading(page).waitFor();
    const rules = await inspect(page, `${name}, ${scheme}, ${size}`);
    const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(wide <= seen, `${name}, ${scheme}, ${size}: ${wide} pixels wide where ${seen} are seen`);
    await photograph(page, `${name}-${scheme}-${size}`);
    console.log(`${name}, ${scheme}, ${size}: ${rules} rules, nothing found`);
  }
}

const tasks = {
  visit: async (browser) => {
    await visit(browser, {}, demoReader);
    await visit(browser, {}, newReader);
    await visit(browser, {}, pause);
    await visit(browser, {}, searching);
  },
  'visit-without-javascript': async (browser) => {
    await visit(browser, { javaScriptEnabled: false }, demoReader);
    await visit(browser, { javaScriptEnabled: false }, newReader);
    await visit(browser, { javaScriptEnabled: false }, pause);
    await visit(browser, { javaScriptEnabled: false }, searching);
  },
  account: async (browser) => {
    await visit(browser, {}, (page) => account(page, true));
    await visit(browser, { javaScriptEnabled: false }, (page) => account(page, false));
  },
  passkey: async (browser) => {
    // Browsers have no passkeys at an address, only at a name.
    const baseURL = shop.replace('127.0.0.1', 'localhost');
    await visit(browser, { baseURL }, passkey);
    await visit(browser, { baseURL, javaScriptEnabled: false }, (page) => withoutPasskeys(page, 'reader-without-a-script', 'in a browser that has passkeys and JavaScript'));
    await visit(browser, {}, (page) => withoutPasskeys(page, 'reader-at-an-address', 'None can be added or used at this address'));
  },
  keyboard: (browser) => visit(browser, {}, keyboard),
  accessibility: async (browser) => {
    for (const colorScheme of ['light', 'dark']) {
      for (const [size, viewport] of Object.entries(sizes)) {
        await visit(browser, { colorScheme, viewport }, (page) => accessibility(page, colorScheme, size));
      }
    }
  },
};

if (!(task in tasks) || !shop || !executablePath) {
  console.error(`usage: node browser.mjs ${Object.keys(tasks).join('|')} URL CHROMIUM`);
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', // containers, and root, which CI often is, have none
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  await tasks[task](browser);
} finally {
  await browser.close();
}
