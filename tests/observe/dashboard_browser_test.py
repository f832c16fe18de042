#!/usr/bin/python3
"""Drives a running dashboard in headless Chromium, as a reader would.

    dashboard_browser_test.py --url http://127.0.0.1:8080 --run ID [--run2 ID] --output DIR

Visits every page, uses what it offers, and fails on an error in the console, a request that fails,
a text with too little contrast or one that does not fit. Screenshots stay in DIR. --limits also
asserts how long things take, --live that new steps appear while one looks on.
"""

import argparse
import json
import pathlib
import sys
import time
import traceback
import xml.etree.ElementTree

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser_page import Browser

FIRST_VIEW_MS = 1000
ACTION_MS = 200
SAMPLES_MS = 300

CANVAS = "return document.querySelector('#chart-reward canvas').toDataURL()"


class Test:
    def __init__(self, options):
        self.options = options
        self.output = pathlib.Path(options.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.browser = Browser(options.url, self.output)
        self.failures = []
        self.timings = []  # (what, ms, limit)

    # ---- what is told ----

    def check(self, good, message):
        if not good:
            self.failures.append(message)
            print('FAILED:', message, flush=True)

    def timed(self, what, ms, limit):
        self.timings.append((what, ms, limit))
        if self.options.limits:
            self.check(ms <= limit, f'{what} took {ms:.0f} ms, expected at most {limit}')

    def action(self, what, act, until, limit=ACTION_MS):
        self.timed(what, self.browser.measure(act, until), limit)

    def look(self, name):
        """A picture, and what must hold in every view."""
        self.browser.screenshot(name)
        for message in (self.browser.low_contrast() + self.browser.overflowing()
                        + self.browser.nameless() + self.browser.errors()):
            self.check(False, f'{name}: {message}')

    # ---- the pages ----

    def open(self, page, query='', run=None):
        self.browser.open(f'#/{run or self.options.run}/{page}' + (f'?{query}' if query else ''))
        self.browser.wait(f"document.body.dataset.ready === '{page}'", f'the page {page}')

    def pure_functions(self):
        functions = (pathlib.Path(__file__).parent / 'dashboard_functions_test.js').read_text()
        self.browser.open('')
        self.browser.wait('document.body.dataset.ready', 'a first page')
        for message in self.browser.driver.execute_async_script(functions):
            self.check(False, message)

    def runs(self):
        self.browser.open('#/')
        self.browser.wait('document.body.dataset.ready', 'the runs')
        count = len(self.browser.driver.execute_script(
            'return fetch("/api/runs").then((a) => a.json())')['runs'])
        if count > 1:
            self.check(self.browser.count('.runs tbody tr') == count,
                       f'the list of runs has not {count} rows')
            self.look('runs')
        else:
            self.check('overview' in self.browser.address(), 'a single run is not opened at once')

    def overview(self):
        b = self.browser
        b.first_view(f'#/{self.options.run}/overview')  # connections and files once
        self.timed('first view of Overview', b.first_view(f'#/{self.options.run}/overview'),
                   FIRST_VIEW_MS)
        b.settle()
        self.look('overview')
        late = b.script("const named = new Set([...document.querySelectorAll('link, script')].map("
                        "(one) => one.href || one.src)); return performance.getEntriesByType("
                        "'resource').map((one) => one.name).filter((name) => name.endsWith('.js') "
                        "&& !named.has(name))")
        self.check(not late, f'index.html does not name the modules {late}')
        self.check(b.count('.chart') >= 8, f'expected 8 charts or more, found {b.count(".chart")}')
        self.check(b.text('#state') != '', 'the state is not told')

        points = int(b.script("return document.querySelector('.chart').ariaLabel.match(/([0-9]+) "
                              "points/)[1]"))
        self.hover('#chart-reward .plot', 0.5)
        b.wait("document.querySelector('.readout').textContent.startsWith('Step')", 'a crosshair')
        shared = b.script("return [...document.querySelectorAll('.hair:not([hidden])')].length")
        self.check(shared > 1, 'the crosshair is not shared')
        b.screenshot('overview-crosshair')

        if points > 2:
            self.drag('#chart-reward .plot', 0.4, 0.7)
            b.wait("location.hash.includes('zoom=')", 'a zoom in the address')
            b.settle()
            self.look('overview-zoom')
            link = b.address()
            words = b.text('.zoom-text')
            b.open(link)
            b.wait("document.querySelector('#chart-reward canvas')", 'the curves of a shared link')
            self.check(b.text('.zoom-text') == words, 'a link does not show the same zoom')
            for what, name in (('zoom out', '0'), ('smooth', 's'), ('smooth more', 's'),
                               ('log axes', 'l')):
                before = b.script(CANVAS)
                # Charts are drawn in the next frame.
                self.action(what, 'window.frameCount = 0;' + key(name), '++window.frameCount > 2')
                self.check(b.script(CANVAS) != before, f'{what} draws nothing')
            self.check('smooth=' in b.address() and 'log=' in b.address(),
                       'smoothing and axes are not in the address')
            b.settle()
            self.look('overview-smooth-log')
            b.press('l')
            b.press('S')
            b.press('S')
        self.check('smooth=' not in b.address(), 'smoothing is not taken back')
        self.downloads()

        b.script("document.querySelector('#chart-reward').focus()")
        b.press(Keys.END)
        b.press(Keys.ARROW_LEFT)
        self.check(b.text('.readout').startswith('Step'), 'arrow keys read no values')
        b.press(Keys.ENTER)
        b.wait("document.body.dataset.ready === 'why'", 'Why after Enter on a chart')
        b.driver.back()
        b.wait("document.querySelector('#chart-reward canvas')", 'Overview after going back')
        self.click('#chart-reward .plot', 0.6)
        b.wait("document.body.dataset.ready === 'why'", 'Why after a click on a curve')
        if self.options.run2:
            self.open('overview', f'with={self.options.run2}&smooth=10')
            b.settle()
            self.check(b.count('.run-key span') == 2, 'the runs laid over are not told')
            self.look('overview-overlay')

    def downloads(self):
        b = self.browser
        for format in ('csv', 'json'):
            b.driver.find_element(By.CSS_SELECTOR, f'.save-all [href*="export.{format}"]').click()
            self.check(len(b.downloaded('*.' + format)) > 0, f'the table as {format} is empty')
        for kind in ('CSV', 'JSON', 'SVG', 'PNG'):
            b.script("document.querySelector('#chart-reward details.menu').open = true")
            b.driver.find_element(
                By.XPATH, f"//*[@id='chart-reward']//button[text()='{kind}']").click()
            content = b.downloaded('*.' + kind.lower())
            if kind == 'CSV':
                lines = content.decode().splitlines()
                self.check(lines[0].startswith('step,') and 'reward/mean' in lines[0]
                           and len(lines) > 1, f'the CSV begins with {lines[0]}')
            elif kind == 'JSON':
                self.check(len(json.loads(content)['step']) > 0, 'the JSON has no steps')
            elif kind == 'SVG':
                paths = xml.etree.ElementTree.fromstring(content).iter(
                    '{http://www.w3.org/2000/svg}path')
                self.check(any(len(path.get('d')) > 20 for path in paths), 'the SVG has no curve')
            else:
                self.check(content.startswith(b'\x89PNG') and len(content) > 5000,
                           'the PNG is no picture')

    def samples(self):
        b = self.browser
        self.open('system')  # so that files are there, as when one comes from another page
        listed = ("document.body.dataset.ready === 'samples' && "
                  "document.querySelector('.panel .tokens')")
        self.timed('samples page', b.measure(
            f"location.hash = '#/{self.options.run}/samples'", listed), SAMPLES_MS)
        b.settle()
        self.look('samples')
        title = "document.querySelector('.sample-title').textContent"
        changed = f"window.before !== {title}"
        before = f"window.before = {title};"
        self.action('next sample', before + key('j'), changed)
        first = b.text('.sample-title')
        self.action('sample before', before + key('k'), changed)
        b.press('j')
        b.wait(f"{title} === '{first}'", 'the same sample again')
        for mode in ('entropy', 'advantage', 'clip', 'logprob'):
            self.action(f'colour by {mode}', 'window.text = document.querySelector(".tokens");' +
                        key('v'), "window.text !== document.querySelector('.tokens')")
            b.screenshot(f'samples-{mode}')
        self.check(b.count('.token-legend .tint') > 3, 'the colours have no legend')
        b.script("document.querySelector('.tokens').focus()")
        b.press(Keys.ARROW_RIGHT)
        if b.count('.tokens .tint'):  # a store of an old run has no vocabulary
            self.check('p ' in b.text('.token-readout') or 'not sampled' in b.text('.token-readout'),
                       f'a token is told as: {b.text(".token-readout")}')
        self.action('side by side', key('g'), "document.querySelectorAll('.column .tokens').length")
        b.settle()
        self.look('samples-group')
        self.action('task across steps', key('h'), "document.querySelector('.history li')")
        self.look('samples-task')
        b.press('c')
        b.wait("document.querySelector('.panel .sample')", 'the completion again')

        count = b.text('.count')
        self.action('filter by verdict', select('.filters select', 'WRONG'),
                    "document.querySelector('.count').textContent !== " + json.dumps(count))
        self.check('status=WRONG' in b.address(), 'the filter is not in the address')
        self.look('samples-filter')
        b.press('/')
        b.driver.switch_to.active_element.send_keys('7')
        b.wait("location.hash.includes('text=7')", 'the text in the address')
        b.press(Keys.ESCAPE)
        b.settle()
        self.look('samples-text')
        b.script("[...document.querySelectorAll('.filters button')].at(-1).click()")
        b.wait("!location.hash.includes('status=')", 'no filter again')
        if b.script("return !document.querySelector('.step-picker button').disabled"):
            step = b.script("return document.querySelector('.step-picker input').value")
            self.action('step before', key('p'),
                        f"document.querySelector('.step-picker input').value !== '{step}' && "
                        "document.querySelector('.panel .tokens')", SAMPLES_MS)
        self.open('samples', 'scope=all')
        b.wait("document.querySelectorAll('.found').length", 'samples of all steps')
        self.look('samples-all-steps')
        # The list is drawn anew, even where its order stays what it was.
        self.action('best first', "document.querySelector('.found').dataset.old = '1';" +
                    select('.where > select', 'reward_down'),
                    "!document.querySelector('.found[data-old]') && "
                    "document.querySelector('.found') || "
                    "document.querySelector('.count').textContent.startsWith('Nothing')")
        self.look('samples-best')

    def why(self):
        self.open('why', 'metric=reward/mean')
        self.browser.wait("document.querySelector('.why-sentences li')", 'sentences')
        self.browser.settle()
        self.look('why')
        self.check(self.browser.count('.why-groups tbody tr') > 0, 'Why names no groups')
        if self.browser.script("return !document.querySelector('.step-picker button').disabled"):
            head = "document.querySelector('.why-head dl')"
            self.action('why, step before', f'window.head = {head};' + key('p'),
                        f'window.head !== {head}')
        self.browser.script("document.querySelector('.why-groups .chip').click()")
        self.browser.wait("document.querySelector('.panel .tokens')", 'a sample from Why')

    def compare(self):
        if not self.options.run2:
            self.open('compare')
            self.look('compare-none')
            return
        self.open('compare', f'with={self.options.run2}')
        self.browser.wait("document.querySelectorAll('.compare-tables table').length", 'tables')
        self.browser.settle()
        self.look('compare')

    def system(self):
        self.open('system')
        self.browser.wait("document.querySelector('.log').textContent.length", 'the log')
        self.browser.script("document.querySelector('.config').open = true")
        self.browser.wait("document.querySelector('.config pre').textContent.includes('[run]')",
                          'the configuration')
        self.browser.settle()
        rows = self.browser.script(
            "return [...document.querySelectorAll('.page-system tbody tr')].map((row) => "
            "[...row.children].map((cell) => cell.textContent).concat(row.className))")
        roles = {row[1]: row for row in rows}
        made = any(row[8] == 'made' for row in rows)  # not another one's run
        if made or self.options.live:
            self.check(set(roles) == {'learner', 'rollout', 'verifier'}, f'workers are {rows}')
        if self.options.live:
            for role, row in roles.items():
                self.check(row[-1] != 'gone', f'the {role} is gone: {row}')
            self.check('its time' in roles['learner'][4], f'a learner is told as {roles["learner"]}')
            self.check('item' in roles['verifier'][4], f'a verifier is told as {roles["verifier"]}')
        elif made:
            lost = [row for row in rows if row[2] == 'lost']
            self.check(len(lost) == 1 and lost[0][-1] == 'gone' and 'silent' in lost[0][-2],
                       f'a lost worker is told as {lost}')
            self.check('1 restart' in roles['verifier'][4], f'a verifier is told as {roles}')
            self.browser.wait("document.querySelector('#chart-reading-gpu-utilization_percent canvas')",
                              'a chart of the GPUs')
        self.look('system')

    def help_and_focus(self):
        b = self.browser
        self.open('overview')
        b.press('?')
        b.wait("document.querySelector('#help').open", 'the help')
        self.look('help')
        b.press(Keys.ESCAPE)
        b.wait("!document.querySelector('#help').open", 'no help')
        b.script('document.activeElement.blur()')
        for _ in range(12):
            b.press(Keys.TAB)
            self.check(b.script("return getComputedStyle(document.activeElement).outlineStyle "
                                "!== 'none'"),
                       'no focus is seen on ' + b.script('return document.activeElement.outerHTML')
                       [:90])
        for number, page in enumerate(('overview', 'samples', 'why', 'compare', 'system')):
            b.press(str(number + 1))
            b.wait(f"document.body.dataset.ready === '{page}'", f'{page} by its key')
        dark = 'return getComputedStyle(document.documentElement).colorScheme'
        b.press('d')
        self.check(b.script(dark) == 'dark', 'd does not make it dark')
        b.press('d')
        self.check(b.script(dark) == 'light', 'd does not make it light again')
        b.script("localStorage.removeItem('ponder-theme')")

    def other_looks(self):
        """Every page in dark, and on a small screen."""
        b = self.browser
        views = [('overview', ''), ('samples', ''), ('samples', 'view=group'),
                 ('why', 'metric=reward/mean'),
                 ('compare', f'with={self.options.run2}' if self.options.run2 else ''),
                 ('system', '')]
        first = b.script("return fetch('/api/runs/' + encodeURIComponent(arguments[0]) + "
                         "'/samples?limit=1').then((a) => a.json())",
                         self.options.run)['samples'][0]['sample']
        for name, width, height, dark in (('dark', 1440, 900, True), ('small', 390, 844, False),
                                          ('small-dark', 390, 844, True)):
            b.emulate(width, height, dark)
            for page, query in views:
                self.open(page, query)
                b.settle()
                self.look(f'{name}-{page}' + ('-group' if 'group' in query else ''))
            self.open('samples', f'sample={first}')
            b.wait("document.querySelector('.panel .tokens')", 'a sample')
            b.settle()
            self.look(f'{name}-sample')
            b.open('#/')
            b.settle()
            self.look(f'{name}-runs')
        b.emulate(1440, 900, False)

    def live(self):
        self.open('overview')
        b = self.browser
        b.settle()
        canvas = "document.querySelector('#chart-reward canvas')"
        points = "Number(document.querySelector('#chart-reward').ariaLabel.match(/(\\d+) points/)[1])"
        b.script(f'window.chart = {canvas}; window.points = {points}')
        b.wait(f'{points} > window.points', 'a new step', self.options.live_timeout)
        self.check(b.script(f'return window.chart === {canvas}'), 'a new step builds the chart anew')
        self.look('live')

    # ---- the pointer ----

    def at(self, selector, share):
        element = self.browser.driver.find_element(By.CSS_SELECTOR, selector)
        width = element.size['width']
        return element, round(50 + (width - 60) * share - width / 2)

    def hover(self, selector, share):
        element, x = self.at(selector, share)
        ActionChains(self.browser.driver).move_to_element_with_offset(element, x, 0).perform()

    def click(self, selector, share):
        element, x = self.at(selector, share)
        (ActionChains(self.browser.driver).move_to_element_with_offset(element, x, 0).click()
         .perform())

    def drag(self, selector, start, end):
        element, x = self.at(selector, start)
        to = self.at(selector, end)[1]
        (ActionChains(self.browser.driver).move_to_element_with_offset(element, x, 0)
         .click_and_hold().move_by_offset(to - x, 0).release().perform())

    # ---- all of it ----

    def run(self):
        parts = [self.pure_functions, self.runs, self.overview, self.samples, self.why,
                 self.compare, self.system, self.help_and_focus, self.other_looks]
        if self.options.live:
            parts.append(self.live)
        for part in parts:
            try:
                part()
            except Exception as error:  # the other parts are worth running
                traceback.print_exc()
                self.browser.screenshot(f'failed-{part.__name__}')
                self.check(False, f'{part.__name__}: {error}')
        for message in self.browser.errors():
            self.check(False, message)
        self.browser.close()
        for what, ms, limit in self.timings:
            print(f'{what:28} {ms:7.0f} ms   of {limit}')
        (self.output / 'timings.json').write_text(json.dumps(
            [{'name': what, 'ms': round(ms, 1), 'limit_ms': limit}
             for what, ms, limit in self.timings], indent=1) + '\n')
        print(f'{len(self.failures)} failures; pictures in {self.output}')
        return 1 if self.failures else 0


def key(name):
    return ("document.body.dispatchEvent(new KeyboardEvent('keydown', "
            f"{{key: '{name}', bubbles: true}}));")


def select(selector, value):
    return (f"{{ const box = document.querySelector('{selector}'); box.value = '{value}'; "
            "box.dispatchEvent(new Event('change')); }")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='of a running dashboard')
    parser.add_argument('--run', required=True, help='id of the run to look at')
    parser.add_argument('--run2', help='id of another one to compare it with')
    parser.add_argument('--output', required=True, help='folder for the pictures')
    parser.add_argument('--limits', action='store_true', help='assert the timings')
    parser.add_argument('--live', action='store_true', help='expect new steps of the run')
    parser.add_argument('--live-timeout', type=float, default=120, help='seconds to wait for one')
    return Test(parser.parse_args()).run()


if __name__ == '__main__':
    started = time.monotonic()
    code = main()
    print(f'{time.monotonic() - started:.0f} s')
    sys.exit(code)
