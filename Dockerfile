# syntax=docker/dockerfile:1
# One image for all rooms: `postern serve gateway`, `postern serve policy`, … or `postern serve all`.

FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages are Node itself and PostgreSQL for machines that have neither; here both are given.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production \
    POSTERN_DATA_DIR=/data
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY core ./core
COPY gateway ./gateway
COPY policy ./policy
COPY delivery ./delivery
COPY api ./api
COPY cli ./cli
RUN ln -s /app/cli/postern.js /usr/local/bin/postern \
 && install -d -o node -g node -m 0700 /data
USER node
VOLUME /data
# submission with STARTTLS, submission with TLS, MX, HTTP: unprivileged inside, published as 587, 465, 25, 8080
EXPOSE 2587 2465 2525 8080
# Ready means: this process answers and reaches its database and queue.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["postern", "doctor", "--health"]
CMD ["postern", "serve", "all"]
