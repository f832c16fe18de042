"""Headless Chromium with the questions that a test of pages asks."""

import json
import pathlib
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

WAIT_S = 10

# Text nodes that can be seen, with their element.
TEXTS = """
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  const element = node.parentElement;
  const unseen = '.hidden, .skip, noscript, option, dialog:not([open])';
  if (!node.textContent.trim() || element.closest(unseen)) continue;
  if (!element.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true})) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const box = range.getBoundingClientRect();
  if (box.width && box.height) texts.push([node, element, box]);
}
"""

CONTRAST = TEXTS + """
const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
const known = new Map();
const rgba = (color) => {
  if (!known.has(color)) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    known.set(color, [r, g, b, a / 255]);
  }
  return known.get(color);
};
const over = (top, below) => below.map((c, i) => (i < 3 ? top[i] * top[3] + c * (1 - top[3]) : 1));
const luminance = (color) => {
  const [r, g, b] = color.map((c) => {
    c /= 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const root = rgba(getComputedStyle(document.documentElement).backgroundColor);
const ground = (element) => {
  const layers = [];
  for (let e = element; e && e !== document.documentElement; e = e.parentElement) {
    const color = rgba(getComputedStyle(e).backgroundColor);
    if (color[3] > 0) layers.push(color);
    if (color[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), root);
};
const found = new Map();
for (const [node, element] of texts) {
  if (element.closest(':disabled')) continue;
  const style = getComputedStyle(element);
  const below = ground(element);
  const ratio = contrast(over(rgba(style.color), below), below);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) {
    found.set(`${element.className}${style.color}`, `contrast ${ratio.toFixed(2)} of ` +
      `"${node.textContent.trim().slice(0, 40)}" (${element.tagName} ${element.className})`);
  }
}
for (let i = 1; i <= 8; ++i) {
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.color = `var(--c${i})`;
  const ratio = contrast(rgba(getComputedStyle(probe).color), root);
  probe.remove();
  if (ratio < 3) found.set(`c${i}`, `contrast ${ratio.toFixed(2)} of the curve colour --c${i}`);
}
return [...found.values()];
"""

OVERFLOW = TEXTS + """
const found = new Set();
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) {
  found.add(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${width}`);
}
const words = (node) => `"${node.textContent.trim().slice(0, 40)}"`;
for (const [node, element, box] of texts) {
  let scrolls = false;
  for (let e = element; e; e = e.parentElement) {
    if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) scrolls = true;
  }
  if (!scrolls && (box.left < -1 || box.right > width + 1)) {
    found.add(`${words(node)} leaves the screen`);
  }
  const style = getComputedStyle(element);
  const cut = style.overflowX === 'hidden' && style.textOverflow !== 'ellipsis';
  if (cut && element.scrollWidth > element.clientWidth + 1) found.add(`${words(node)} is cut off`);
  const control = element.closest('button, .chip, .tint, dd, dt, th, td');
  if (control && !element.closest('.tokens')) {
    const outer = control.getBoundingClientRect();
    if (box.right > outer.right + 2 || box.left < outer.left - 2) {
      found.add(`${words(node)} is wider than its ${control.tagName} ${control.className}`);
    }
  }
}
return [...found];
"""

# Resolves with the milliseconds until `until` holds and has been painted.
MEASURE = """
const done = arguments[0];
const started = performance.now();
ACT;
const look = () => {
  if (UNTIL) {
    requestAnimationFrame(() => done(performance.now() - started));
  } else if (performance.now() - started > 10000) {
    done(-1);
  } else {
    requestAnimationFrame(look);
  }
};
look();
"""

FIRST_VIEW = """
const look = () => {
  if (document.body?.dataset.ready && document.querySelector('.plot canvas')) {
    requestAnimationFrame(() => { window.firstView = performance.now(); });
  } else {
    requestAnimationFrame(look);
  }
};
look();
"""

NAMED_ROLES = {'button', 'link', 'textbox', 'searchbox', 'combobox', 'slider', 'checkbox',
               'spinbutton', 'image', 'DisclosureTriangle'}


class Browser:
    def __init__(self, url, output):
        self.url = url.rstrip('/')
        self.output = output
        self.folder = (output / 'downloads').resolve()
        self.folder.mkdir(exist_ok=True)
        options = Options()
        options.binary_location = '/usr/bin/chromium'
        for argument in ('--headless=new', '--no-sandbox', '--hide-scrollbars',
                         '--disable-dev-shm-usage', '--lang=en', '--no-first-run',
                         '--window-size=1440,900'):
            options.add_argument(argument)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
        self.driver = webdriver.Chrome(service=Service('/usr/bin/chromedriver'), options=options)
        self.driver.set_script_timeout(30)
        self.driver.execute_cdp_cmd('Browser.setDownloadBehavior', {
            'behavior': 'allow', 'downloadPath': str(self.folder)})
        self.driver.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument',
                                    {'source': FIRST_VIEW})
        self.emulate(1440, 900, False)

    def close(self):
        self.driver.quit()

    def emulate(self, width, height, dark):
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
            'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600})
        self.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}]})

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def open(self, link):
        """Loads the page anew, as a link from elsewhere does."""
        self.driver.get('about:blank')
        self.driver.get(f'{self.url}/{link}')

    def address(self):
        return self.script('return location.hash')

    def first_view(self, link):
        self.open(link)
        self.wait('window.firstView', 'a first view')
        return self.script('return window.firstView')

    def wait(self, condition, what, seconds=WAIT_S):
        end = time.monotonic() + seconds
        while not self.script(f'return Boolean({condition})'):
            if time.monotonic() > end:
                raise TimeoutError(f'waited {seconds:g} s for {what} at {self.address()}; the page '
                                   f'says: {self.text("#page")[:200]}')
            time.sleep(0.02)

    def settle(self):
        """Until nothing is asked for and everything in view is drawn."""
        self.driver.execute_async_script("""
          const done = arguments[0];
          let before = -1;
          const look = () => {
            const now = performance.getEntriesByType('resource').length +
              document.querySelectorAll('*').length / 1e6;
            if (now === before && document.body.dataset.ready) return done();
            before = now;
            setTimeout(look, 150);
          };
          look();
          setTimeout(done, 5000);
        """)

    def measure(self, act, until):
        ms = self.driver.execute_async_script(
            MEASURE.replace('ACT', act).replace('UNTIL', until))
        if ms < 0:
            raise TimeoutError(f'waited 10 s for {until}')
        return ms

    def press(self, keys):
        ActionChains(self.driver).send_keys(keys).perform()

    def count(self, selector):
        return self.script('return document.querySelectorAll(arguments[0]).length', selector)

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0])?.textContent ?? ''",
                           selector)

    def screenshot(self, name):
        self.driver.save_screenshot(str(self.output / f'{name}.png'))

    def downloaded(self, pattern):
        """The content of a file that was just saved; it is taken away."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for path in self.folder.glob(pattern):
                content = path.read_bytes()
                if not content:  # the name is taken before the file is there
                    continue
                path.unlink()
                return content
            time.sleep(0.05)
        raise TimeoutError(f'no download {pattern} within {WAIT_S} s')

    def low_contrast(self):
        return self.script(CONTRAST)

    def overflowing(self):
        return self.script(OVERFLOW)

    def nameless(self):
        """Controls that a screen reader cannot name."""
        nodes = self.driver.execute_cdp_cmd('Accessibility.getFullAXTree', {})['nodes']
        found = []
        for node in nodes:
            role = node.get('role', {}).get('value')
            if (not node.get('ignored') and role in NAMED_ROLES
                    and not node.get('name', {}).get('value', '').strip()):
                found.append(f'a {role} without a name: {json.dumps(node.get("properties"))[:90]}')
        return found

    def errors(self):
        """Of the console and of requests, since the last call."""
        found = [entry['message'] for entry in self.driver.get_log('browser')
                 if entry['level'] in ('SEVERE', 'WARNING')]
        for entry in self.driver.get_log('performance'):
            message = json.loads(entry['message'])['message']
            parameters = message['params']
            if message['method'] == 'Network.responseReceived':
                response = parameters['response']
                if response['status'] >= 400:
                    found.append(f'{response["url"]} answered {response["status"]}')
            elif message['method'] == 'Network.loadingFailed' and not parameters.get('canceled'):
                found.append(f'a request failed: {parameters.get("errorText")}')
        return found
