# The gateway, and with another command the simulated vehicle: docker-compose.yml shows both.

FROM debian:trixie-slim AS dependencies
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates nodejs npm \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Brings Node 26 too, as a package; Debian's Node only runs npm.
RUN npm ci --omit=dev --ignore-scripts

FROM debian:trixie-slim
# Node 26 links against libatomic, which slim images lack.
RUN apt-get update \
  && apt-get install -y --no-install-recommends libatomic1 libstdc++6 \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --user-group --home-dir /var/lib/latticeway --create-home latticeway \
  && install -d -o latticeway -g latticeway -m 0700 \
    /var/lib/latticeway/data /var/lib/latticeway/certs /var/lib/latticeway/vehicles
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY config ./config
COPY crypto ./crypto
COPY protocol ./protocol
COPY server ./server
COPY vmg-sim ./vmg-sim
COPY cli ./cli

ENV PATH=/app/node_modules/.bin:$PATH \
  NODE_ENV=production \
  LATTICEWAY_DATA_DIR=/var/lib/latticeway/data \
  LATTICEWAY_CERTS_DIR=/var/lib/latticeway/certs \
  LATTICEWAY_HTTPS_PORT=8443 \
  VMG_CERTS_DIR=/var/lib/latticeway/certs \
  VMG_STATE_DIR=/var/lib/latticeway/vehicles
USER latticeway
VOLUME ["/var/lib/latticeway/data", "/var/lib/latticeway/certs", "/var/lib/latticeway/vehicles"]
EXPOSE 8443 8883
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD NODE_EXTRA_CA_CERTS=$LATTICEWAY_CERTS_DIR/server-ca/ecdsa-p256/root.pem node -e "fetch('https://localhost:'+process.env.LATTICEWAY_HTTPS_PORT+'/readyz').then((answer)=>process.exit(answer.ok?0:1),()=>process.exit(1))"
CMD ["node", "--max-semi-space-size=64", "server/main.ts"]
