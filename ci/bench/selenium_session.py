"""One full session of Selenium's Python client with a fresh headless Chromium: start, open a page, quit.

Usage: selenium_session.py CHROMIUM CHROMEDRIVER URL
Prints the seconds it took. Needs the PyPI package `selenium`.
"""
import sys
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

chromium, chromedriver, url = sys.argv[1:]
options = webdriver.ChromeOptions()
options.binary_location = chromium
for flag in ("--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking", "--enable-unsafe-webgpu"):
    options.add_argument(flag)
# The imports above are not part of a session.
start = time.perf_counter()
driver = webdriver.Chrome(options=options, service=Service(chromedriver))
driver.get(url)
driver.quit()
print(time.perf_counter() - start)
